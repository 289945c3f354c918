"""Sets of whole numbers as sorted, disjoint, inclusive ranges: ports, addresses, types, marks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Intervals:
    """A set of whole numbers >= 0. `ranges` is sorted, disjoint and never adjacent: equality is set equality."""

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, *ranges: tuple[int, int] | int) -> Intervals:
        """From numbers and inclusive ranges in any order, overlaps allowed."""
        if len(ranges) == 1 and isinstance(ranges[0], int):
            return cls(((ranges[0], ranges[0]),))
        return cls.union_of((r, r) if isinstance(r, int) else r for r in ranges)

    @classmethod
    def union_of(cls, ranges: Iterable[tuple[int, int]]) -> Intervals:
        """From inclusive ranges in any order, overlaps allowed."""
        merged: list[tuple[int, int]] = []
        for low, high in sorted(ranges):
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = merged[-1][0], max(high, merged[-1][1])
            else:
                merged.append((low, high))
        return cls(tuple(merged))

    @classmethod
    def full(cls, bits: int) -> Intervals:
        """Every number of that many bits."""
        return cls(((0, (1 << bits) - 1),))

    def __contains__(self, value: int) -> bool:
        return any(low <= value <= high for low, high in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for low, high in self.ranges:
            yield from range(low, high + 1)

    @property
    def size(self) -> int:
        """How many numbers; more than `len` may say where addresses are IPv6."""
        return sum(high - low + 1 for low, high in self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __or__(self, other: Intervals) -> Intervals:
        return Intervals.union_of(self.ranges + other.ranges)

    def __and__(self, other: Intervals) -> Intervals:
        return Intervals.union_of(
            (max(a, c), min(b, d)) for a, b in self.ranges for c, d in other.ranges if max(a, c) <= min(b, d)
        )

    def __sub__(self, other: Intervals) -> Intervals:
        top = max((high for _, high in self.ranges), default=0)
        return self & other.complement(max(top.bit_length(), 1))

    def __le__(self, other: Intervals) -> bool:
        return (self & other) == self

    def complement(self, bits: int) -> Intervals:
        """Every number of that many bits that is not in this set."""
        gaps, start = [], 0
        for low, high in self.ranges:
            if low > start:
                gaps.append((start, low - 1))
            start = high + 1
        if start < 1 << bits:
            gaps.append((start, (1 << bits) - 1))
        return Intervals(tuple(g for g in gaps if g[0] <= g[1]))


def span_text(low: int, high: int, dash: str = "-") -> str:
    """`80`, `8000-8010`."""
    return str(low) if low == high else f"{low}{dash}{high}"
