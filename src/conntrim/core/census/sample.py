"""How many entries a sampled census needs, what its shares are worth, and whether the sample may be trusted at all.

A dump walks the hash table, whose keyed hash scatters the entries: its first entries are a random sample without
replacement of all of them (K34). That is a property of the kernel and not of our making, so it is tested on every
sample: the first blocks must not differ from one another more than chance allows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Z98 = 2.326348
"""The normal distribution's 99 % point: two-sided 98 %. 95 % are promised; with 1.96, made for just that, a hundred
samples in which the bounds hold 92 times would be no rare thing."""

ROWS = 16_384
"""Rows of an automatic sample: the worst share, one half, is then known within 0.91 points of any table."""

WORTH_IT = 8 * ROWS
"""`auto` samples only tables larger than this; a smaller one is read whole in a fraction of a second."""

BLOCKS = 4
"""The least blocks of a sample that can be compared with each other."""

CHANCE = 4.0
"""Standard deviations of the chi-square statistic above its mean at which order is no longer taken for chance."""

Counts = npt.NDArray[np.int64]


def rows_wanted(sample: str | int, population: int | None) -> int | None:
    """How many rows to read for `auto`, `exact` or a number; None for all of them."""
    if population is None or sample == "exact":
        return None
    if sample == "auto":
        return ROWS if population > WORTH_IT else None
    return int(sample) if int(sample) < population else None


def bound(entries: int, rows: int, population: int) -> float:
    """The 95 % bound of one share in percentage points, which holds in 98 %: normal, with finite population and
    continuity correction.
    """
    if rows >= population:
        return 0.0
    # Where none or all were seen the estimate of the spread would be nil: count half an entry either way.
    share = min(max(entries, 0.5), rows - 0.5) / rows
    spread = math.sqrt(share * (1 - share) / rows * (population - rows) / (population - 1))
    return 100 * (Z98 * spread + 0.5 / rows)


def looks_ordered(blocks: Sequence[Counts]) -> bool:
    """Whether the blocks of a sample differ more than chance allows: counts of the same kinds, one array a block.

    Kinds that are too rare for the test (fewer than 5 expected a block) are taken together.
    """
    table = np.array([block for block in blocks if block.sum() > 0], np.float64)
    if len(table) < BLOCKS:
        return False
    sizes, kinds = table.sum(axis=1), table.sum(axis=0)
    rare = kinds * sizes.min() / sizes.sum() < 5
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    expected = np.outer(sizes, table.sum(axis=0)) / sizes.sum()
    present = expected.min(axis=0) >= 1
    freedom = (len(table) - 1) * (int(present.sum()) - 1)
    if freedom < 1:
        return False
    chi = float((((table - expected) ** 2)[:, present] / expected[:, present]).sum())
    return (chi - freedom) / math.sqrt(2 * freedom) > CHANCE
