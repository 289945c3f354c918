"""Sets of bit vectors as decision diagrams: numbers in ranges become sets, and running out of room is no answer.

This package is the only door to oxidd; `Set` is its function type, with `&`, `|` and `~`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from oxidd.bcdd import BCDDFunction as Set
from oxidd.bcdd import BCDDManager
from oxidd.util import DDMemoryError

from conntrim.core.model.intervals import Intervals

NODES = 6_000_000
"""Nodes a diagram may have before the answer is *not decided*: about 200 MB. The largest corpus host takes 150,000."""
CACHE = 1 << 18
"""Remembered results of single operations."""


class NotDecided(Exception):  # noqa: N818 - it is an answer, not an error
    """The question is too large for the budget, or asks what nobody here can know."""


@contextmanager
def deciding() -> Iterator[None]:
    """Everything that builds sets runs in here: a full node store becomes `NotDecided`."""
    try:
        yield
    except DDMemoryError as error:
        raise NotDecided(f"the packet sets take more than {NODES:,} diagram nodes") from error


__all__ = ["CACHE", "NODES", "Diagrams", "NotDecided", "Set", "deciding"]

Ranges = Sequence[tuple[int, int]]


def _clip(ranges: Ranges, low: int, high: int) -> list[tuple[int, int]]:
    return [(max(a, low), min(b, high)) for a, b in ranges if a <= high and b >= low]


class Diagrams:
    """Variables and the sets over them. `tick` is called now and then and may raise `NotDecided` (time is up)."""

    def __init__(self, tick: Callable[[], None] = lambda: None, nodes: int = NODES) -> None:
        self._manager = BCDDManager(nodes, CACHE, 1)
        self.tick = tick
        self.nothing: Set = self._manager.false()
        self.everything: Set = self._manager.true()
        self._cubes: dict[tuple[int, ...], Set] = {}

    @property
    def variables(self) -> int:
        """How many variables there are."""
        return int(self._manager.num_vars())

    def add(self, count: int) -> tuple[int, ...]:
        """New variables below all others."""
        return tuple(self._manager.add_vars(count))

    def var(self, number: int) -> Set:
        """The vectors that have this bit set."""
        return self._manager.var(number)

    def literals(self, *numbers: int) -> Set:
        """All of these bits set: what a quantifier takes as its list of variables."""
        if numbers not in self._cubes:
            found = self.everything
            for number in sorted(numbers, reverse=True):
                found = self.var(number) & found
            self._cubes[numbers] = found
        return self._cubes[numbers]

    def either(self, sets: Sequence[Set]) -> Set:
        """Their union, folded as a balanced tree so that intermediate results stay small."""
        if not sets:
            return self.nothing
        while len(sets) > 1:
            pairs = [sets[i] | sets[i + 1] for i in range(0, len(sets) - 1, 2)]
            sets = pairs + ([sets[-1]] if len(sets) % 2 else [])
        return sets[0]

    def among(self, bits: Sequence[Set | None], values: Intervals) -> Set:
        """Where the number with these bits (highest first, None where masked out and so zero) is one of `values`."""
        return self._among(bits, 0, _clip(values.ranges, 0, (1 << len(bits)) - 1), 0)

    def _among(self, bits: Sequence[Set | None], at: int, ranges: Ranges, low: int) -> Set:
        if not ranges:
            return self.nothing
        size = 1 << (len(bits) - at)
        if ranges[0] == (low, low + size - 1) and None not in bits[at:]:
            return self.everything
        if size == 1:
            return self.everything
        middle = low + size // 2
        bit = bits[at]
        below = self._among(bits, at + 1, _clip(ranges, low, middle - 1), low)
        if bit is None:
            return below
        above = self._among(bits, at + 1, _clip(ranges, middle, low + size - 1), middle)
        return below if above == below else bit.ite(above, below)
