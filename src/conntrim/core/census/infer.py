"""Guessing whose table this is: the addresses that take part in nearly every entry are the host's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from conntrim.core.model.flows import FlowTable
from conntrim.core.model.intervals import Intervals

ENOUGH = 50_000
"""Entries after which a guess gets no better."""

EXPLAINED = 0.98
"""Share of the entries that the addresses found must take part in; then the search ends."""

PROMINENT = 0.3
"""An address must take part in this share of the entries not yet explained; else those are forwarded ones."""

Ids = npt.NDArray[np.intp]


def infer_local(blocks: Sequence[FlowTable]) -> Intervals:
    """The addresses taken as the host's own, the most prominent first until the entries are explained.

    Between two that take part in equally many entries the origin wins over the answerer. Empty without entries.
    """
    if not any(len(block) for block in blocks):
        return Intervals()
    sources = np.concatenate([block.src for block in blocks])
    answerers = np.concatenate([block.reply_src for block in blocks])
    addresses, ids = np.unique(np.concatenate([sources, answerers]), axis=0, return_inverse=True)
    ends = ids.reshape(2, -1)
    found, left = [], np.ones(ends.shape[1], np.bool_)
    while left.mean() > 1 - EXPLAINED:
        best = _most_prominent(ends[:, left], len(addresses))
        takes_part = (ends == best).any(axis=0) & left
        if takes_part.sum() < PROMINENT * left.sum():
            break
        found.append(int(addresses[best, 0]) << 64 | int(addresses[best, 1]))
        left &= ~takes_part
    return Intervals.of(*found)


def _most_prominent(ends: Ids, addresses: int) -> int:
    """The address that takes part in most of these entries, ids[2, n]."""
    as_origin = np.bincount(ends[0], minlength=addresses)
    loops = np.bincount(ends[0, ends[0] == ends[1]], minlength=addresses)
    either = as_origin + np.bincount(ends[1], minlength=addresses) - loops
    candidates = np.flatnonzero(either == either.max())
    return int(candidates[np.argmax(as_origin[candidates])])
