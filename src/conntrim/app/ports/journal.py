"""The journal of one network namespace: what was applied, and who is at it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from conntrim.core.model.errors import ConntrimError
from conntrim.core.rollout.record import Journal


class HeldError(ConntrimError):
    """Another run holds the journal."""


class JournalStore(Protocol):
    """Reads and writes the journal as a whole."""

    def read(self) -> Journal:
        """The journal; an empty one where there is none. InputError where it is damaged or of a newer version."""

    def write(self, journal: Journal) -> None:
        """Replace it: after a crash there is the old one or the new one. HostError."""

    def lock(self, verb: str) -> AbstractContextManager[None]:
        """Hold the journal for this run; HeldError, naming the holder, where another run does."""

    def set_aside(self) -> str:
        """Move a journal that cannot be read out of the way; its new name, "" where there was none."""
