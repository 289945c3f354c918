"""Paths that stay below a root directory, whatever symbolic links say: every component is opened in the one before it.

As openat2(2) does it with RESOLVE_IN_ROOT, for every kernel: no component is followed by the kernel itself
(O_NOFOLLOW), an absolute link begins at the root again, and `..` ends there. So what an image below `--root` holds, or
somebody exchanges meanwhile, cannot lead outside.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

LINKS = 40
"""As many symbolic links as the kernel follows in one path (MAXSYMLINKS)."""
LARGEST = 64 << 20
"""Bytes of a file that is read whole."""
SEARCH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Place:
    """A name in an open directory; `path` is where that is below the root, free of symbolic links."""

    at: int
    name: str
    path: str

    def link(self) -> str | None:
        """Where it leads, if it is a symbolic link."""
        try:
            return os.readlink(self.name, dir_fd=self.at)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return None
            raise

    def read(self) -> tuple[bytes, os.stat_result]:
        """The content and the state of a regular file. OSError for any other kind, or one that is too large."""
        _refuse_other_kinds(os.stat(self.name, dir_fd=self.at, follow_symlinks=False))  # a device must not be opened
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(self.name, flags, dir_fd=self.at), "rb") as file:
            info = os.fstat(file.fileno())
            _refuse_other_kinds(info)
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return data, info

    def replace(self, content: bytes, mode: int, owner: os.stat_result | None) -> None:
        """Write beside, flush, rename: a reader sees the old text or the new one."""
        beside = f".{self.name}.{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(beside, flags, 0o600, dir_fd=self.at)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
                os.fchmod(file.fileno(), mode)
                if owner is not None:
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                file.flush()
                os.fsync(file.fileno())
            os.rename(beside, self.name, src_dir_fd=self.at, dst_dir_fd=self.at)
        except BaseException:
            os.unlink(beside, dir_fd=self.at)
            raise

    def beside(self, name: str) -> Place:
        """Another name in the same directory."""
        return Place(self.at, name, os.path.join(os.path.dirname(self.path), name))

    def stat(self) -> os.stat_result | None:
        """Its state, None where it is not there."""
        with suppress(FileNotFoundError):
            return os.stat(self.name, dir_fd=self.at, follow_symlinks=False)
        return None

    def unlink(self) -> None:
        """Take it away, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(self.name, dir_fd=self.at)


def _refuse_other_kinds(info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise OSError(errno.EINVAL, "no regular file")


@contextmanager
def found(root: str, path: str, *, make: bool = False) -> Iterator[Place]:
    """The place of a path below a root, symbolic links followed inside it; it need not be there itself.

    `make`: directories that are missing are made. OSError where the way cannot be gone, a path with `..` included.
    """
    walk = _Walk(os.open(root or "/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), make)
    try:
        yield walk.to(path)
    finally:
        walk.close()


def exists(root: str, path: str) -> bool:
    """Is there a regular file?"""
    try:
        with found(root, path) as place:
            info = place.stat()
            return info is not None and stat.S_ISREG(info.st_mode)
    except OSError:
        return False


class _Walk:
    """The directories from the root to where we are, all open: `..` is the one before, and the root's is the root."""

    def __init__(self, root: int, make: bool) -> None:
        self.way, self.names, self.make = [root], list[str](), make

    def to(self, path: str) -> Place:
        """Go there. OSError."""
        if ".." in path.split("/"):
            raise OSError(errno.EINVAL, "a path with .. is not followed")
        left, links = _components(path), 0
        while left:
            part = left.pop(0)
            if part == "..":
                self._up()
                continue
            place = Place(self.way[-1], part, "/" + "/".join([*self.names, part]))
            target = place.link()
            if target is not None:
                links += 1
                if links > LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                if target.startswith("/"):
                    self._back()
                left = _components(target) + left
            elif not left:
                return place
            else:
                self._down(part)
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))

    def _down(self, part: str) -> None:
        if self.make:
            with suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=self.way[-1])
        self.way.append(os.open(part, SEARCH | os.O_DIRECTORY, dir_fd=self.way[-1]))
        self.names.append(part)

    def _up(self) -> None:
        if self.names:
            self.names.pop()
            os.close(self.way.pop())

    def _back(self) -> None:
        while self.names:
            self._up()

    def close(self) -> None:
        """All of them."""
        self._back()
        os.close(self.way.pop())


def _components(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
