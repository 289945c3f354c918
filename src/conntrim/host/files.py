"""Whole files, written so that a reader sees the old text or the new one, never a part; and never outside a root."""

from __future__ import annotations

import os
import stat

from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import FileChange
from conntrim.core.model.raw_text import bytes_of
from conntrim.core.rollout.record import SavedFile
from conntrim.host.confined import Place, found


class HostFiles:
    """Files below `root`: "/" but for images and tests. A symbolic link keeps standing, its target is written.

    A link that leads outside of the root leads to the same path inside it, as it would where the image runs.
    """

    def __init__(self, root: str = "/") -> None:
        self.root = root.rstrip("/")

    def below(self, root: str) -> HostFiles:
        """The same files below another directory."""
        return HostFiles(root)

    def look(self, path: str, stamp: str) -> SavedFile:
        """The file as it is now, and the name that its dated copy is to have."""
        try:
            with found(self.root, path) as place:
                data, info = place.read()
                return SavedFile(path, data, stat.S_IMODE(info.st_mode), f"{self.root}{place.path}.{stamp}")
        except FileNotFoundError:
            return SavedFile(path, None)
        except OSError as error:
            raise self._error("reading", path, error) from error

    def write(self, change: FileChange, saved: SavedFile) -> None:
        """Keep the dated copy, then write the new text; nothing where the text is that already."""
        content = bytes_of(change.text)
        if saved.content == content:
            return
        try:
            with found(self.root, change.path, make=True) as place:
                copy = _copy(place, saved)
                if saved.content is not None and copy and copy.stat() is None:
                    copy.replace(saved.content, saved.mode, place.stat())
                place.replace(content, saved.mode, place.stat())
        except OSError as error:
            raise self._error("writing", change.path, error) from error

    def restore(self, change: FileChange, saved: SavedFile) -> str:
        """Put the saved text back, unless somebody has changed the file since: then say so."""
        now = self.look(change.path, "").content
        if now not in (bytes_of(change.text), saved.content):
            return f"{change.path} was changed since; left as it is" + (f", old text: {saved.copy}" * bool(saved.copy))
        try:
            with found(self.root, change.path) as place:
                if now != saved.content:
                    _put_back(place, saved)
                if copy := _copy(place, saved):
                    copy.unlink()
        except FileNotFoundError:
            pass  # not even its directory is there any more, and what was there before is nothing
        except OSError as error:
            raise self._error("restoring", change.path, error) from error
        return ""

    def _error(self, doing: str, path: str, error: OSError) -> HostError:
        return HostError(f"{doing} {self.root}{path}", error.strerror or str(error))


def _copy(place: Place, saved: SavedFile) -> Place | None:
    """The dated copy: always beside the file, whatever directory its name names."""
    return place.beside(os.path.basename(saved.copy)) if saved.copy else None


def _put_back(place: Place, saved: SavedFile) -> None:
    if saved.content is None:
        place.unlink()
    else:
        place.replace(saved.content, saved.mode, place.stat())
