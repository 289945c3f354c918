"""A host that was saved in a file: what the verbs ask of a record or a collection as they ask a kernel."""

from __future__ import annotations

from typing import Protocol

from conntrim.app.ports.facts import Facts
from conntrim.app.ports.flows import Flows
from conntrim.app.ports.frames import Frames
from conntrim.app.ports.kernel_log import KernelLog
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.ruleset import Ruleset


class SavedHost(Facts, KernelLog, Protocol):
    """Its facts and its log, whatever namespace or log is asked for; InputError where a part is not in the file."""

    @property
    def sample(self) -> str | int:
        """How its table is to be counted: `exact`, or as a sample of so many entries."""

    def viewpoint(self) -> Viewpoint:
        """From where it was seen."""

    def flows(self) -> Flows:
        """Its table."""

    def fullest(self) -> SavedHost:
        """The same, with its table as it was at the reading of most entries."""

    def frames(self) -> Frames | None:
        """All readings of its table, None where there is one only."""

    def ruleset(self) -> Ruleset:
        """Its rules."""
