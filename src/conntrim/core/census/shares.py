"""Shares that add up: whole numbers and percentages that are exactly the whole together, by the largest remainder."""

from __future__ import annotations

from collections.abc import Sequence


def apportioned(counts: Sequence[int], whole: int) -> tuple[int, ...]:
    """`whole` divided in proportion to the counts, by the largest remainder; all zero where there is nothing to share.

    Who lost most by rounding down gets the next one; the earlier row where two lost the same.
    """
    total = sum(counts)
    if total == 0:
        return (0,) * len(counts)
    parts = [count * whole // total for count in counts]
    order = sorted(range(len(counts)), key=lambda i: (-(counts[i] * whole % total), i))
    for i in order[: whole - sum(parts)]:
        parts[i] += 1
    return tuple(parts)


def shares(counts: Sequence[int]) -> tuple[float, ...]:
    """The percentage of each count, rounded to tenths so that all of them together are exactly 100.0.

    All zero where there is nothing to share.
    """
    return tuple(tenth / 10 for tenth in apportioned(counts, 1000))
