"""Values of nft's types as numbers of our fields."""

from __future__ import annotations

from conntrim.core.dialect.nft import TYPES, Spelt
from conntrim.core.model.address import parse_address, parse_prefix
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nft_words import Json
from conntrim.core.parse.nft.left import Unread

ADDRESSES = frozenset(name for name, kind in TYPES.items() if kind.spelt is Spelt.ADDRESSES)
EVERY = (1 << 128) - 1
BITMASKS = frozenset(name for name, kind in TYPES.items() if kind.spelt in (Spelt.FLAGS, Spelt.STATES))
"""Types whose values are flags: `X a,b` asks for any of them."""


def number(kind: str, value: Json) -> int:
    """One value; Unread where the type has no such symbol."""
    if isinstance(value, int) and not isinstance(value, bool):
        if kind not in TYPES or TYPES[kind].domain is not None or value < 0:
            raise Unread
        return value
    if not isinstance(value, str):
        raise Unread
    if kind in ADDRESSES:
        try:
            return parse_address(value)
        except ValueError:
            raise Unread from None
    if kind not in TYPES:
        raise Unread
    found = TYPES[kind].symbols.get(value)
    if found is None:
        return int(value, 0) if value[:2] == "0x" or value.isdecimal() else _no_symbol()
    return found


def _no_symbol() -> int:
    raise Unread


def _flags(kind: str, value: Json) -> int:
    """Flags put together: one, a list, or joined by `|`."""
    match value:
        case list() as parts:
            return sum({_flags(kind, part) for part in parts})
        case {"|": list() as parts}:
            bits = 0
            for part in parts:
                bits |= _flags(kind, part)
            return bits
        case int() if not isinstance(value, bool):
            return value
    one = number(kind, value)
    return 1 << one if TYPES[kind].spelt is Spelt.STATES else one


def flags(kind: str, value: Json) -> int:
    """Flags as bits: nft's own bit for a ct state (`1 << CtState`)."""
    return _flags(kind, value)


def spans(kind: str, value: Json) -> list[tuple[int, int]]:
    """A value, range, prefix or set as inclusive ranges; Unread for anything else."""
    match value:
        case {"range": [low, high]}:
            first, last = number(kind, low), number(kind, high)
            if first > last:
                raise Unread
            return [(first, last)]
        case {"prefix": {"addr": str(addr), "len": int(length)}} if kind in ADDRESSES:
            try:
                return [parse_prefix(f"{addr}/{length}")]
            except ValueError:
                raise Unread from None
        case {"set": list() as members}:
            return [each for member in members for each in spans(kind, member)]
        case {"elem": {"val": inner}}:
            return spans(kind, inner)
        case "*":  # whatever no other element has
            return [(0, EVERY)]
        case {"|": _} if TYPES[kind].spelt is Spelt.FLAGS:
            bits = flags(kind, value)
            return [(bits, bits)]
    one = number(kind, value)
    return [(one, one)]


def intervals(kind: str, value: Json, shift: int = 0) -> Intervals:
    """The same as a set, moved to its place in the field."""
    found = spans(kind, value)
    if len(found) == 1 and not shift:  # an element of a set, which may have tens of thousands
        return Intervals(tuple(found))
    return Intervals.union_of((low << shift, (high + 1 << shift) - 1) for low, high in found)
