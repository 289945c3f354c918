"""Whole files, written so that a reader sees the old text or the new one, never a part."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress

from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import FileChange
from conntrim.core.rollout.record import SavedFile


class HostFiles:
    """Files below `root`: "/" but for images and tests. A symbolic link keeps standing, its target is written."""

    def __init__(self, root: str = "/") -> None:
        self.root = root.rstrip("/")

    def below(self, root: str) -> HostFiles:
        """The same files below another directory."""
        return HostFiles(root)

    def look(self, path: str, stamp: str) -> SavedFile:
        """The file as it is now, and the name that its dated copy is to have."""
        real = self._real(path)
        try:
            with open(real, "rb") as file:
                return SavedFile(path, file.read(), stat.S_IMODE(os.fstat(file.fileno()).st_mode), f"{real}.{stamp}")
        except FileNotFoundError:
            return SavedFile(path, None)
        except OSError as error:
            raise _error("reading", real, error) from error

    def write(self, change: FileChange, saved: SavedFile) -> None:
        """Keep the dated copy, then write the new text; nothing where the text is that already."""
        real = self._real(change.path)
        try:
            if saved.content == change.text.encode():
                return
            if saved.content is not None and not os.path.exists(saved.copy):
                _write(saved.copy, saved.content, saved.mode, real)
            os.makedirs(os.path.dirname(real), exist_ok=True)
            _write(real, change.text.encode(), saved.mode, real)
        except OSError as error:
            raise _error("writing", real, error) from error

    def restore(self, change: FileChange, saved: SavedFile) -> str:
        """Put the saved text back, unless somebody has changed the file since: then say so."""
        real, now = self._real(change.path), self.look(change.path, "").content
        if now not in (change.text.encode(), saved.content):
            return f"{change.path} was changed since; left as it is" + (f", old text: {saved.copy}" * bool(saved.copy))
        try:
            if now != saved.content:
                self._put_back(real, saved)
            if saved.copy:
                with suppress(FileNotFoundError):
                    os.unlink(saved.copy)
        except OSError as error:
            raise _error("restoring", real, error) from error
        return ""

    def _put_back(self, real: str, saved: SavedFile) -> None:
        if saved.content is None:
            with suppress(FileNotFoundError):
                os.unlink(real)
        else:
            _write(real, saved.content, saved.mode, real)

    def _real(self, path: str) -> str:
        return os.path.realpath(self.root + path)


def _write(path: str, content: bytes, mode: int, like: str) -> None:
    """Write beside, flush, rename; owner as `like` has it, where that exists."""
    descriptor, beside = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path))
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            with suppress(FileNotFoundError):
                owner = os.stat(like)
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _error(doing: str, path: str, error: OSError) -> HostError:
    return HostError(f"{doing} {path}", error.strerror or str(error))
