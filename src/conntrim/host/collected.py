"""A host as `conntrim collect` gathered it: told by the first line, whatever the file is called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from conntrim.app.ports.kernel_log import LogExtract
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import HostFacts, Reading
from conntrim.core.model.flows import FlowTable, table_of
from conntrim.core.model.record import COLLECTED
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.parse.collected import END, TABLE, Collected, sections
from conntrim.host.flow_files import DAMAGE, DAMAGED, FileFlows, decompressed
from conntrim.host.sources import lines, opened

LARGEST, LONGEST = 64 << 20, 1 << 20
"""Bytes of everything but the table, and of a line of it: nft prints its rules in one."""
HEAD, NEXT = COLLECTED.encode(), b"\n" + COLLECTED.encode()
CUT = "the collection breaks off in the table: entries are missing"
NO_TABLE = "the collection holds no entry of the table: only root may read it"


@dataclass(frozen=True, slots=True)
class CollectedHost:
    """One collection, read; see the port `SavedHost`."""

    told: Collected

    @property
    def sample(self) -> str | int:
        """The table is all there."""
        return "exact"

    def viewpoint(self) -> Viewpoint:
        """From where it was seen."""
        facts = self.told.facts()
        return Viewpoint(facts.local, facts.local_ports, facts.timeouts)

    def read(self, netns: str | None) -> HostFacts:
        """The facts."""
        return self.told.facts()

    def reading(self, netns: str | None, not_before: float) -> Reading:
        """The changing numbers, later."""
        return self.told.later()

    def overflows(self, source: str | None) -> LogExtract:
        """The log's lines."""
        return LogExtract(self.told.overflows(), self.told.source)

    def flows(self) -> FileFlows:
        """The table."""
        return _Flows(self.told.source, self.told.facts().count)

    def fullest(self) -> CollectedHost:
        """There is one reading only."""
        return self

    def frames(self) -> None:
        """There is one reading only."""

    def ruleset(self) -> Ruleset:
        """The rules."""
        return self.told.ruleset()


def collected(path: str) -> CollectedHost:
    """The collection in a file that begins as one.

    InputError where what stands before the table is larger than any such thing.
    """
    with opened(path) as raw:
        try:
            stream = decompressed(path, raw)
            stream.read(len(HEAD))
            found = tuple(sections(_bounded(path, stream)))
        except DAMAGED as error:
            raise InputError(path, DAMAGE, advice=str(error)) from error
    return CollectedHost(Collected(path, found))


def _bounded(path: str, stream: BinaryIO) -> Iterator[str]:
    """Lines up to the table, the first with its mark again."""
    left, first = LARGEST, COLLECTED
    for line in lines(stream, LONGEST):
        left -= len(line)
        if left < 0:
            raise InputError(path, f"more than {LARGEST >> 20} MiB before the table", advice="collect it anew")
        yield first + line
        first = ""


class _Flows(FileFlows):
    """The table of a collection, which may be empty, or not there; `counted` by the kernel when it was gathered."""

    def __init__(self, path: str, counted: int | None) -> None:
        super().__init__(path)
        self._counted = counted

    def _empty(self) -> FlowTable:
        """No entries; where the host had some, that is a remark."""
        if self._counted != 0:
            self._cut = f"{self.source}: {NO_TABLE}"
        return table_of(0, self._text.columns, {})

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        with super()._opened() as stream:
            while (line := stream.readline(LONGEST)) and line.rstrip(b"\n") != HEAD + TABLE.encode():
                pass
            table = _Table(stream)
            yield table  # type: ignore[misc]  # only read1 is asked of it
            if not table.ended:
                self._cut = f"{self.source}: {CUT}"


class _Table:
    """A stream up to the mark of its end."""

    def __init__(self, stream: BinaryIO) -> None:
        # The mark follows a line feed; so it does where the table is empty.
        self._stream, self._left, self._begun, self.ended = stream, b"\n", False, False

    def read1(self, size: int) -> bytes:
        """Some bytes of the table; what may be the beginning of a mark waits for the next ones."""
        while not self.ended:
            more = self._stream.read1(size)  # type: ignore[attr-defined]  # all of ours are buffered
            data = self._left + more
            at = data.find(NEXT + END.encode())
            self.ended = at >= 0
            kept = len(data) - at - 1 if self.ended else min(len(data), len(NEXT) + len(END)) if more else 0
            give, self._left = data[: len(data) - kept], data[len(data) - kept :]
            if give and not self._begun:
                give, self._begun = give[1:], True
            if give or not more:
                return bytes(give)
        return b""
