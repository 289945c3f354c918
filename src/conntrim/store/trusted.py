"""Opens what conntrim is to believe: directories and files that nobody but root and the user can have written.

Everything is opened by its name in a directory that is open already, no symbolic link is followed, and owner and mode
are asked of the open file: what was checked is what is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from conntrim.core.model.errors import HostError, InputError

SUDO_UID = "SUDO_UID"
"""Set by sudo(8) to the user who called it, whatever the caller's environment said."""
OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Not to wait for the writer of a FIFO; regular files do not mind."""
OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose files are believed, and what to do about one that is somebody else's."""

    owners: frozenset[int]
    advice: str

    @contextmanager
    def directory(self, path: str, *, reachable: bool = False) -> Iterator[int]:
        """A directory as a descriptor. FileNotFoundError; InputError where somebody else may write it, or it is none.

        `reachable`: nor may others put another one in its place, on the whole way from the root directory.
        """
        descriptor = self._reached(path) if reachable else _opened(path)
        try:
            info = os.fstat(descriptor)
            if stat.S_ISLNK(info.st_mode):
                raise InputError(path, "this is a symbolic link", advice="name the directory that it leads to")
            if not stat.S_ISDIR(info.st_mode):
                raise InputError(path, "this is no directory", advice=self.advice)
            self.refuse_writable(path, info)
            listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        try:
            yield listed
        finally:
            os.close(listed)

    def _reached(self, path: str) -> int:
        """The last component of a path, reached through directories in which others can replace nothing."""
        above, name = os.path.split(os.path.abspath(path))
        here, way = _opened("/"), "/"
        try:
            for part in (*os.path.realpath(above).split("/"), name):
                mode = os.fstat(here).st_mode
                if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                    raise InputError(path, f"everybody may replace what is in {way}", advice=self.advice)
                if part:
                    here, earlier = _opened(part, here), here
                    os.close(earlier)
                    way = os.path.join(way, part)
        except BaseException:
            os.close(here)
            raise
        return here

    def refuse_writable(self, path: str, info: os.stat_result) -> None:
        """InputError where somebody who is none of the owners may have written it."""
        if info.st_uid not in self.owners:
            allowed = " or ".join("root" if uid == 0 else f"user {uid}" for uid in sorted(self.owners))
            raise InputError(path, f"this belongs to user {info.st_uid}, not to {allowed}", advice=self.advice)
        if info.st_mode & OTHERS:
            mode = stat.S_IMODE(info.st_mode)
            raise InputError(path, f"others may write this (mode {mode:04o})", advice=self.advice)

    def refuse_other_kinds(self, path: str, info: os.stat_result) -> None:
        """InputError for anything but a regular file; to be asked before a device or FIFO is opened."""
        if stat.S_ISLNK(info.st_mode):
            raise InputError(path, "this is a symbolic link, not a file", advice=self.advice)
        if not stat.S_ISREG(info.st_mode):
            raise InputError(path, "this is no regular file", advice=self.advice)

    def read(self, at: int, name: str, path: str, limit: int) -> bytes:
        """The content of a file in an open directory, `path` to the reader.

        FileNotFoundError; InputError where it is no regular file, somebody else may write it or it is above `limit`.
        """
        self.refuse_other_kinds(path, os.stat(name, dir_fd=at, follow_symlinks=False))
        with open(os.open(name, os.O_RDONLY | OPEN, dir_fd=at), "rb") as file:
            info = os.fstat(file.fileno())
            self.refuse_other_kinds(path, info)
            self.refuse_writable(path, info)
            data = file.read(limit + 1)
        if len(data) > limit:
            raise InputError(path, f"larger than {limit >> 20} MiB", advice=self.advice)
        return data


def keepers() -> frozenset[int]:
    """Who may have written what decides by itself, the journal: root and the user who runs."""
    return frozenset({0, os.geteuid()})


def planners() -> frozenset[int]:
    """Who may have written what is compared and proved anew, a plan: under sudo also the user who called it."""
    caller = os.environ.get(SUDO_UID, "")
    return keepers() | ({int(caller)} if os.geteuid() == 0 and caller.isdecimal() else set())


def _opened(path: str, at: int | None = None) -> int:
    return os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)


def host_error(doing: str, path: str, error: OSError) -> HostError:
    """The machine's word about a path."""
    return HostError(f"{doing} {path}", error.strerror or str(error))
