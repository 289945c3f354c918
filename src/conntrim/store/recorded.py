"""A record in the place of the host that it was made on: its table, frames, facts, log and rules, for every verb."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from conntrim.app.ports.kernel_log import LogExtract
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import HostFacts, Reading
from conntrim.core.model.flows import FlowTable
from conntrim.core.model.panel import Frame
from conntrim.core.model.record import Record
from conntrim.core.model.ruleset import Dialect, Ruleset, TableFamily
from conntrim.core.parse.kernel import Save, read_kernel
from conntrim.store.record import RecordReader

BLOCK = 2_000
"""Entries handed over at once: parts of a sample are compared with each other."""
LATER = frozenset({"tcp_flags", "reply_tcp_flags"})
"""Columns that older records lack; as zeros they say nothing."""
NO_FRAME = "the record holds no reading of the table: it was cut off at its beginning"


@dataclass(frozen=True, slots=True)
class RecordedHost:
    """One record, read; see the port `SavedHost`."""

    record: Record

    @property
    def sample(self) -> str | int:
        """How the last frame is to be counted: whole, or as a sample."""
        last = self.record.last
        return "exact" if last is None or last.whole else len(last.flows)

    def viewpoint(self) -> Viewpoint:
        """From where it was seen."""
        facts = self.record.facts
        return Viewpoint(facts.local, facts.local_ports, facts.timeouts)

    def read(self, netns: str | None) -> HostFacts:
        """The facts; see the port `Facts`."""
        return replace(self.record.facts, source=f"recorded in {self.record.path}")

    def reading(self, netns: str | None, not_before: float) -> Reading:
        """The changing numbers at the last frame."""
        return self.record.later or self.record.facts.reading

    def overflows(self, source: str | None) -> LogExtract:
        """The log's lines; see the port `KernelLog`."""
        facts = self.record.facts
        return LogExtract(facts.overflows, self.record.path, (), facts.suppressed, facts.expect_full)

    def flows(self) -> RecordedFlows:
        """The table as the last frame shows it."""
        if self.record.last is None:
            raise InputError(self.record.path, NO_FRAME)
        return RecordedFlows(self.record.path, self.record.last)

    def fullest(self) -> RecordedHost:
        """The same, with the frame of most entries in the place of the last one."""
        most = max(RecordReader(self.record.path).frames(), key=lambda frame: frame.population, default=None)
        return replace(self, record=replace(self.record, last=most))

    def frames(self) -> RecordedFrames:
        """All readings of the table."""
        if self.record.last is None:
            raise InputError(self.record.path, NO_FRAME)
        return RecordedFrames(self.record.path, self.record.last.population)

    def ruleset(self) -> Ruleset:
        """The rules."""
        if not self.record.rules:
            raise InputError(self.record.path, "the record holds no rules", advice="record as root")
        texts = {each.program: each.text for each in self.record.rules}
        try:
            saves = [
                Save(name.split()[0], TableFamily(name.split()[1]), Dialect(name.split()[2]), text)
                for name, text in texts.items()
                if " " in name
            ]
        except (ValueError, IndexError) as error:
            raise InputError(self.record.path, f"this record is damaged: {error}") from error
        return read_kernel(saves, texts.get("nft"), texts.get("ipset"))


class RecordedFlows:
    """The port `Flows` of one frame."""

    bad_lines = 0

    def __init__(self, path: str, frame: Frame) -> None:
        self.source, self._frame = path, frame
        self.remarks, self.incomplete = frame.remarks, frame.incomplete

    def population(self) -> int | None:
        """The kernel's count then; None where the frame holds the table, for that counts expired entries too."""
        return None if self._frame.whole else max(self._frame.population, len(self._frame.flows) + 1)

    def blocks(self, columns: frozenset[str], *, few: bool = False) -> Iterator[FlowTable]:
        """The entries of the frame."""
        flows = self._frame.flows
        if missing := columns - flows.columns - LATER:
            raise InputError(self.source, f"the record holds no {', '.join(sorted(missing))} of entries")
        for start in range(0, max(len(flows), 1), BLOCK):
            yield flows.taken(np.arange(start, min(start + BLOCK, len(flows))))


class RecordedFrames:
    """The port `Frames` of all frames; they were when they were."""

    def __init__(self, path: str, population: int) -> None:
        self.source, self._population, self._left = path, population, RecordReader(path).frames()

    def population(self) -> int:
        """The last frame's."""
        return self._population

    def read(self, rows: int | None, not_before: float, *, settle: bool = False) -> Frame | None:
        """The next frame, as it was read then."""
        return next(self._left, None)
