"""Which addresses of a column are in a set: the same few comparisons for a whole block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conntrim.core.model.address import MAPPED, V4_ALL
from conntrim.core.model.flows import U32, U64
from conntrim.core.model.intervals import Intervals

Mask = npt.NDArray[np.bool_]
HALF = (1 << 64) - 1
FEW = 24
"""With more ranges than this a binary search is cheaper than comparing with each."""


@dataclass(frozen=True, slots=True)
class Ends:
    """One end of each entry of one family: uint32[n] for IPv4, uint64[n, 2] with the high half first for IPv6."""

    v4: U32 | None
    v6: U64 | None

    @classmethod
    def of(cls, column: U64, *, mapped: bool) -> Ends:
        """From an address column of a flow table, all of one family."""
        return cls(column[:, 1].astype(np.uint32), None) if mapped else cls(None, column)

    def where(self, first: Mask, other: Ends) -> Ends:
        """This end where `first` holds, else the other one."""
        if self.v4 is not None and other.v4 is not None:
            return Ends(np.where(first, self.v4, other.v4), None)
        assert self.v6 is not None  # both are of one family
        assert other.v6 is not None
        return Ends(None, np.where(first[:, None], self.v6, other.v6))


class Membership:
    """Membership in one set of addresses."""

    def __init__(self, addresses: Intervals) -> None:
        v4 = addresses & Intervals((V4_ALL,))
        self._v4 = [(np.uint32(low - MAPPED), np.uint32(high - low)) for low, high in v4.ranges]
        self._lows = np.array([low - MAPPED for low, _ in v4.ranges], np.uint32)
        self._highs = np.array([high - MAPPED for _, high in v4.ranges], np.uint32)
        v6 = addresses - Intervals((V4_ALL,))
        self._v6 = [tuple(np.uint64(b >> s & HALF) for b in r for s in (64, 0)) for r in v6.ranges]

    def __call__(self, ends: Ends) -> Mask:
        """Which of them are in the set."""
        if ends.v4 is not None:
            return self._in_v4(ends.v4)
        assert ends.v6 is not None  # one of the two is there
        return self._in_v6(ends.v6[:, 0], ends.v6[:, 1])

    def _in_v4(self, column: U32) -> Mask:
        inside = np.zeros(len(column), np.bool_)
        if len(self._v4) > FEW:
            place = np.searchsorted(self._lows, column, side="right") - 1
            found: Mask = (place >= 0) & (column <= self._highs[place])
            return found
        for low, size in self._v4:
            # Unsigned: what is below `low` wraps around to far above `size`.
            inside |= column == low if size == 0 else (column - low) <= size
        return inside

    def _in_v6(self, high: U64, low: U64) -> Mask:
        inside = np.zeros(len(high), np.bool_)
        for low_high, low_low, high_high, high_low in self._v6:
            above = (high > low_high) | ((high == low_high) & (low >= low_low))
            inside |= above & ((high < high_high) | ((high == high_high) & (low <= high_low)))
        return inside
