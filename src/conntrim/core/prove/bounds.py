"""Boxes of bounds round packets: the lowest and the highest value of each field that most rules go by."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from conntrim.core.model.address import V4_ALL, Family
from conntrim.core.model.fields import Field, Key, matched, mirror
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import In, Match

Bounds = tuple[tuple[int, int], ...]
"""The lowest and highest value of each of `COLUMNS`."""

COLUMNS = (Field.SRC, Field.DST, Field.PROTOCOL, Field.SPORT, Field.DPORT)
MIRRORED = tuple(COLUMNS.index(mirror(field)) for field in COLUMNS)
"""Where each field's bounds stand in the answer's."""
ADDRESSES = 2
"""So many of the fields are addresses; they come first."""
_AT = {id(field): at for at, field in enumerate(COLUMNS)}
"""By identity: an enum's own hash takes longer than the rest of the look-up."""

SHIFT = {Family.IPV4: 0, Family.IPV6: 65}
"""Bits of an address left out, so that bounds fit 64 bits."""
_V6_TOP = (1 << 128) - 1
_NEVER = (1 << 63) - 1
"""Above every bound."""
ALL: dict[Family, Bounds] = {
    Family.IPV4: (V4_ALL, V4_ALL, (0, 255), (0, 65535), (0, 65535)),
    Family.IPV6: ((0, _V6_TOP), (0, _V6_TOP), (0, 255), (0, 65535), (0, 65535)),
}
"""The box of all packets."""


def bounds_of(matches: Iterable[Match], family: Family) -> Bounds | None:
    """A box round the packets that the matches hold for; None where there are no such packets."""
    found = list(ALL[family])
    for match in matches:
        if type(match) is In and match.mask is None and (at := _AT.get(id(match.field))) is not None:
            low, high = found[at]
            ranges = match.values.ranges
            if not ranges or ranges[0][0] > high or ranges[-1][1] < low:
                return None
            found[at] = max(low, ranges[0][0]), min(high, ranges[-1][1])
    return tuple(found)


def fields_of(fields: Iterable[tuple[Key, Intervals]], family: Family) -> Bounds | None:
    """The same for fields and their values."""
    return bounds_of((In(*each) for each in matched(fields)), family)


def mirrored(bounds: Bounds) -> Bounds:
    """A box round the answers to these packets."""
    return tuple(bounds[at] for at in MIRRORED)


def known_of(match: Match, family: Family) -> tuple[int, int, int]:
    """Which of `COLUMNS` a match bounds, and how, as 64-bit numbers; -1 where it bounds none."""
    if type(match) is not In or match.mask is not None or (at := _AT.get(id(match.field))) is None:
        return -1, 0, 0
    (low, high), ranges = ALL[family][at], match.values.ranges
    if not ranges or ranges[0][0] > high or ranges[-1][1] < low:
        return at, _NEVER, -1
    shift = SHIFT[family] if at < ADDRESSES else 0
    return at, max(low, ranges[0][0]) >> shift, min(high, ranges[-1][1]) >> shift


def shifted(bounds: Bounds, family: Family) -> NDArray[np.int64]:
    """As 64-bit numbers, an array of shape (fields, ends)."""
    shifts = [SHIFT[family] if at < ADDRESSES else 0 for at in range(len(COLUMNS))]
    return np.array([(a >> s, b >> s) for (a, b), s in zip(bounds, shifts, strict=True)], dtype=np.int64)
