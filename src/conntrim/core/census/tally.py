"""Counting keys in a stream: block after block of them in, each distinct one with its number out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]
Keep = Callable[[Keys, Counts], npt.NDArray[np.bool_]]

PENDING = 1 << 15
"""Distinct keys of blocks that are kept aside before they are merged: merging often would cost more than they weigh."""


class Tally:
    """Counts of keys of `width` 64-bit numbers; with 1 the keys are uint64[n], else uint64[n, width].

    `keep` may say, whenever keys are merged, which to keep and which to forget; it may lower the counts it is given.
    """

    def __init__(self, width: int = 1, keep: Keep | None = None) -> None:
        shape = (0,) if width == 1 else (0, width)
        self._sum = np.empty(shape, np.uint64), np.empty(0, np.int64)
        self._parts: list[tuple[Keys, Counts]] = []
        self._pending, self._keep = 0, keep

    def add(self, keys: Keys) -> None:
        """Count a block's keys."""
        if not len(keys):
            return
        if keys.ndim == 1:
            keys, counts = np.unique(keys, return_counts=True)
            self._parts.append((keys, counts.astype(np.int64, copy=False)))
        else:
            self._parts.append(sum_by(keys, np.ones(len(keys), np.int64)))
        self._pending += len(self._parts[-1][0])
        if self._pending > PENDING:
            self._merge()

    def items(self) -> tuple[Keys, Counts]:
        """The distinct keys, sorted, and how often each was added."""
        self._merge()
        return self._sum

    def _merge(self) -> None:
        if not self._parts:
            return
        new, self._parts, self._pending = _summed(self._parts), [], 0
        self._sum = _united(self._sum, new)
        if self._keep is not None:
            keys, counts = self._sum
            kept = self._keep(keys, counts)
            self._sum = keys[kept], counts[kept]


def _united(known: tuple[Keys, Counts], new: tuple[Keys, Counts]) -> tuple[Keys, Counts]:
    """Two sums as one; the first one's counts may be changed."""
    (keys, counts), (others, more) = known, new
    if not len(keys):
        return new
    if keys.ndim > 1:
        return _summed([known, new])
    # Both are sorted: sorting them together would take twice the time and memory.
    at = np.searchsorted(keys, others)
    there = keys[np.minimum(at, len(keys) - 1)] == others
    counts[at[there]] += more[there]
    return np.insert(keys, at[~there], others[~there]), np.insert(counts, at[~there], more[~there])


def _summed(parts: list[tuple[Keys, Counts]]) -> tuple[Keys, Counts]:
    """Several parts as one."""
    return sum_by(np.concatenate([keys for keys, _ in parts]), np.concatenate([counts for _, counts in parts]))


def sum_by(keys: Keys, counts: Counts) -> tuple[Keys, Counts]:
    """Distinct keys, sorted, and the sum of the counts of each."""
    if not len(keys):
        return keys, counts
    order = np.argsort(keys, kind="stable") if keys.ndim == 1 else np.lexsort(keys.T[::-1])
    keys, counts = keys[order], counts[order]
    differs = keys[1:] != keys[:-1]
    first = np.flatnonzero(np.r_[True, differs if keys.ndim == 1 else differs.any(axis=1)])
    return keys[first], np.add.reduceat(counts, first)
