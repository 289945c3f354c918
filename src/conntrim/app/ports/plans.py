"""Where plans are written for people and for `conntrim apply`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conntrim.core.model.plan import FileChange


class Plans(Protocol):
    """Directories, each holding one plan."""

    def write(self, directory: str, files: Sequence[FileChange]) -> None:
        """Write all files, with paths relative to the directory, or none. An earlier plan there is replaced.

        InputError where something else is in the directory, HostError where it cannot be written.
        """
