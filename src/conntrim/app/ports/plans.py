"""Where plans are written for people, and read back for `conntrim apply`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from conntrim.core.model.plan import FileChange


@dataclass(frozen=True, slots=True)
class Shown:
    """What a plan's directory shows to whoever reviews it: its files by their paths in it."""

    directory: str
    files: Mapping[str, bytes]


class Plans(Protocol):
    """Directories, each holding one plan."""

    def write(self, directory: str, files: Sequence[FileChange]) -> None:
        """Write all files, with paths relative to the directory, or none. An earlier plan there is replaced.

        InputError where something else is in the directory, HostError where it cannot be written.
        """

    def read(self, directory: str) -> Shown:
        """Everything in a plan's directory, bounded. InputError where there is none, or others may have written it."""

    def name(self, directory: str) -> str:
        """The name of the plan in a directory, "" where there is none."""
