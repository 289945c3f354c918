"""Shares that add up: percentages with one decimal that are 100.0 together, by the largest remainder."""

from __future__ import annotations

from collections.abc import Sequence


def shares(counts: Sequence[int]) -> tuple[float, ...]:
    """The percentage of each count, rounded to tenths so that all of them together are exactly 100.0.

    All zero where there is nothing to share.
    """
    total = sum(counts)
    if total == 0:
        return (0.0,) * len(counts)
    tenths = [count * 1000 // total for count in counts]
    left = 1000 - sum(tenths)
    # Who lost most by rounding down gets the next tenth; the earlier row where two lost the same.
    order = sorted(range(len(counts)), key=lambda i: (-(counts[i] * 1000 % total), i))
    for i in order[:left]:
        tenths[i] += 1
    return tuple(tenth / 10 for tenth in tenths)
