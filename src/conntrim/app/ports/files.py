"""The files that a confirm persists."""

from __future__ import annotations

from typing import Protocol

from conntrim.core.model.plan import FileChange
from conntrim.core.rollout.record import SavedFile


class Files(Protocol):
    """Whole files, written so that a reader sees the old text or the new one. Everything raises HostError."""

    def below(self, root: str) -> Files:
        """The same files below another directory."""

    def look(self, path: str, stamp: str) -> SavedFile:
        """The file as it is now, and the name that its dated copy is to have."""

    def write(self, change: FileChange, saved: SavedFile) -> None:
        """Keep the dated copy, then write the new text; nothing where the text is that already."""

    def restore(self, change: FileChange, saved: SavedFile) -> str:
        """Put the saved text back, unless somebody has changed the file since: then say so."""
