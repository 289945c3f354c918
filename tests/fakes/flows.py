"""A conntrack table in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conntrim.core.model.flows import FlowTable


class FakeFlows:
    """Hands out the blocks it was given; `fails` is raised after them."""

    def __init__(
        self, blocks: Sequence[FlowTable], *, source: str = "fake", population: int | None = None,
        fails: Exception | None = None,
    ) -> None:  # fmt: skip
        self.source, self.bad_lines, self.incomplete = source, 0, False
        self.remarks: tuple[str, ...] = ()
        self._blocks, self._population, self._fails = blocks, population, fails
        self.handed_out = 0

    def population(self) -> int | None:
        """What the table is said to hold."""
        return self._population

    def blocks(self, columns: frozenset[str], *, few: bool = False) -> Iterator[FlowTable]:
        """The blocks, all their columns filled."""
        for block in self._blocks:
            self.handed_out += 1
            yield block
        if self._fails:
            raise self._fails
