"""Sets of bit vectors as decision diagrams: numbers in ranges become sets, and running out of room is no answer.

This package is the only door to oxidd; `Set` is its function type, with `&`, `|` and `~`; `a.imp(b)` is `~a | b` and
`a.imp_strict(b)` is `~a & b`, in one step.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from oxidd.bcdd import BCDDFunction as Set
from oxidd.bcdd import BCDDManager
from oxidd.util import DDMemoryError

from conntrim.core.model.intervals import Intervals

NODES = 6_000_000
"""Nodes a diagram may have before the answer is *not decided*: about 200 MB. To compare the corpus's largest host with
itself a year before takes 1,700,000, all that were needed for a while included."""
CACHE = 1 << 16
"""Remembered results of single operations; a table four times as large no longer fits the processor's own memory, and
is slower with small and large rule sets alike."""


class NotDecided(Exception):  # noqa: N818 - it is an answer, not an error
    """The question is too large for the budget, or asks what the model cannot know."""


@contextmanager
def deciding() -> Iterator[None]:
    """Everything that builds sets runs in here: a full node store becomes `NotDecided`."""
    try:
        yield
    except DDMemoryError as error:
        raise NotDecided(f"the packet sets take more than {NODES:,} diagram nodes") from error


__all__ = ["CACHE", "NODES", "Diagrams", "NotDecided", "Set", "deciding"]


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Bits of a number, highest first, and sorted ranges that it may be in, with where each begins."""

    bits: Sequence[Set | None]
    ranges: list[tuple[int, int]]
    lows: list[int]


class Diagrams:
    """Variables and the sets over them. `tick` is called now and then and may raise `NotDecided` (time is up)."""

    def __init__(self, tick: Callable[[], None] = lambda: None, nodes: int = NODES) -> None:
        self._manager = BCDDManager(nodes, CACHE, 1)
        self.tick = tick
        self.nothing: Set = self._manager.false()
        self.everything: Set = self._manager.true()
        self._variables: list[Set] = []
        self._cubes: dict[tuple[int, ...], Set] = {}

    @property
    def variables(self) -> int:
        """How many variables there are."""
        return int(self._manager.num_vars())

    def add(self, count: int) -> tuple[int, ...]:
        """New variables below all others."""
        found = tuple(self._manager.add_vars(count))
        self._variables += [self._manager.var(n) for n in found]
        return found

    def var(self, number: int) -> Set:
        """The vectors that have this bit set."""
        return self._variables[number]

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
        last = (1 << len(bits)) - 1
        ranges = [(low, min(high, last)) for low, high in values.ranges if low <= last]
        if not ranges:
            return self.nothing
        return self._within(_Numbers(bits, ranges, [low for low, _ in ranges]), 0, 0, 0, len(ranges))

    def moved(self, found: Set, old: Sequence[int], new: Sequence[int]) -> Set:
        """The set with one number's variables in the place of another's: what thousands of ranges made is made once."""
        pairs = [(one, self.var(other)) for one, other in zip(old, new, strict=True)]
        return found.substitute(Set.make_substitution(pairs))

    def _within(self, numbers: _Numbers, at: int, base: int, first: int, stop: int) -> Set:
        """Where the number, whose bits above the one numbered `at` are those of `base`, is in one of the ranges from
        `first` on to `stop`, all of which have such numbers, and one is there. Halved as long as there are several: so
        each node of a large set is made once, and no set of sets is put together."""
        bits, ranges, width = numbers.bits, numbers.ranges, len(numbers.bits) - at
        low, high = max(ranges[first][0], base), min(ranges[stop - 1][1], base + (1 << width) - 1)
        if stop - first == 1:
            return self._between(bits[at:], low, high)
        free = (low ^ high).bit_length()  # the bits below those that all share
        split, start = len(bits) - free, low >> free << free
        half = start + (1 << free - 1)
        middle = bisect_left(numbers.lows, half, first, stop)
        found = self._within(numbers, split + 1, start, first, middle)
        if (bit := bits[split]) is not None:
            both = ranges[middle - 1][1] >= half
            found = bit.ite(self._within(numbers, split + 1, half, middle - both, stop), found)
        return self._leading(bits[at:split], low >> free, found)

    def _between(self, bits: Sequence[Set | None], low: int, high: int) -> Set:
        """One range: the leading bits that its ends share, then at least the one or at most the other end."""
        free = (low ^ high).bit_length()
        if high - low == (1 << free) - 1:
            found = self.everything  # an aligned block, a prefix: nothing below its leading bits matters
        else:
            split, rest = bits[len(bits) - free], bits[len(bits) - free + 1 :]
            above = self._at_least(rest, low)
            found = above if split is None else split.ite(self._at_most(rest, high), above)
        return self._leading(bits[: len(bits) - free], low >> free, found)

    def _leading(self, bits: Sequence[Set | None], value: int, found: Set) -> Set:
        """`found`, where these bits are that number."""
        for bit in reversed(bits):
            if bit is None:
                if value & 1:
                    return self.nothing
            else:
                found = bit & found if value & 1 else bit.imp_strict(found)
            value >>= 1
        return found

    def _at_least(self, bits: Sequence[Set | None], low: int) -> Set:
        found = self.everything
        zeros = (low & -low).bit_length() - 1 if low else len(bits)  # below the last one, whatever it is
        low >>= zeros
        for bit in reversed(bits[: max(len(bits) - zeros, 0)]):
            if low & 1:
                found = self.nothing if bit is None else bit & found
            elif bit is not None:
                found = bit | found
            low >>= 1
        return found

    def _at_most(self, bits: Sequence[Set | None], high: int) -> Set:
        found = self.everything
        ones = (~high & high + 1).bit_length() - 1  # below the last zero, whatever it is
        high >>= ones
        for bit in reversed(bits[: max(len(bits) - ones, 0)]):
            if high & 1:
                found = self.everything if bit is None else bit.imp(found)
            elif bit is not None:
                found = bit.imp_strict(found)
            high >>= 1
        return found
