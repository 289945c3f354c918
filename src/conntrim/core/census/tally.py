"""Counting keys in a stream: block after block of them in, each distinct one with its number out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]
Keep = Callable[[Keys, Counts], npt.NDArray[np.bool_]]

PENDING = 1 << 17
"""Distinct keys of blocks that are kept aside before they are merged: merging often would cost more than they weigh."""


class Tally:
    """Counts of keys of `width` 64-bit numbers; with 1 the keys are uint64[n], else uint64[n, width].

    `keep` may say, whenever keys are merged, which to keep and which to forget.
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
        parts = [self._sum, *self._parts]
        keys, counts = np.concatenate([k for k, _ in parts]), np.concatenate([c for _, c in parts])
        # The parts would be a third of the memory that sorting takes.
        self._parts = parts = []
        self._sum = keys[:0], counts[:0]
        keys, counts = sum_by(keys, counts)
        if self._keep is not None:
            kept = self._keep(keys, counts)
            keys, counts = keys[kept], counts[kept]
        self._sum, self._pending = (keys, counts), 0


def sum_by(keys: Keys, counts: Counts) -> tuple[Keys, Counts]:
    """Distinct keys, sorted, and the sum of the counts of each."""
    if not len(keys):
        return keys, counts
    order = np.argsort(keys, kind="stable") if keys.ndim == 1 else np.lexsort(keys.T[::-1])
    keys, counts = keys[order], counts[order]
    differs = keys[1:] != keys[:-1]
    first = np.flatnonzero(np.r_[True, differs if keys.ndim == 1 else differs.any(axis=1)])
    return keys[first], np.add.reduceat(counts, first)
