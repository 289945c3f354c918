"""nft's `ct KEY`: what a rule asks of an entry beside its state."""

from __future__ import annotations

from conntrim.core.model.address import V4_ALL
from conntrim.core.model.conntrack import Status
from conntrim.core.model.ct_match import CtIn, CtKey, Way, any_of
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nft_words import Json
from conntrim.core.parse.nft.left import Unread
from conntrim.core.parse.nft.values import number, spans

KINDS: dict[str, tuple[CtKey, str]] = {
    "mark": (CtKey.MARK, "mark"), "zone": (CtKey.ZONE, "mark"), "expiration": (CtKey.EXPIRATION, "mark"),
    "direction": (CtKey.DIRECTION, ""), "status": (CtKey.STATUS, ""),
    "l3proto": (CtKey.FAMILY, "nf_proto"), "protocol": (CtKey.PROTOCOL, "inet_proto"),
    "ip saddr": (CtKey.SRC, "ipv4_addr"), "ip daddr": (CtKey.DST, "ipv4_addr"),
    "ip6 saddr": (CtKey.SRC, "ipv6_addr"), "ip6 daddr": (CtKey.DST, "ipv6_addr"),
    "proto-src": (CtKey.SPORT, "inet_service"), "proto-dst": (CtKey.DPORT, "inet_service"),
}  # fmt: skip
"""nft's key to ours and the type of its values; plain numbers are read as a mark's are."""

WORDS: dict[CtKey, dict[str, int]] = {
    CtKey.DIRECTION: {"original": 0, "reply": 1},
    CtKey.STATUS: {
        "expected": Status.EXPECTED, "seen-reply": Status.SEEN_REPLY, "assured": Status.ASSURED,
        "confirmed": Status.CONFIRMED, "snat": Status.SRC_NAT, "dnat": Status.DST_NAT, "dying": Status.DYING,
    },
}  # fmt: skip

FAMILIES = {"ipv4_addr": Intervals((V4_ALL,)), "ipv6_addr": Intervals((V4_ALL,)).complement(128)}
"""The addresses of a type: those of the other family match neither way."""

TOP = 0xFFFFFFFF
"""The greatest number that is compared."""


def asked(expression: Json, op: str, right: Json) -> CtIn:
    """A comparison of a `ct` key, masked or not; Unread for what the model does not know."""
    mask = None
    match expression:
        case {"&": [inner, mask]}:
            expression = inner
    match expression:
        case {"ct": {"key": str(name), **rest}} if name in KINDS:
            key, kind = KINDS[name]
            return _compared(CtIn(key, NOTHING, mask, way=Way(str(rest.get("dir", "")))), kind, op, right)
    raise Unread


NOTHING = Intervals()


def _compared(left: CtIn, kind: str, op: str, right: Json) -> CtIn:
    """The question with its values; the mask is still nft's word."""
    key, way, mask = left.key, left.way, left.mask
    if key is CtKey.STATUS and op in ("in", "!") and mask is None:  # K58: any of the flags
        return any_of(_bits(right), op == "!")
    if op in ORDERED and mask is None and key in (CtKey.MARK, CtKey.EXPIRATION, CtKey.SPORT, CtKey.DPORT):
        value = number(kind, right)
        low, high = {"<": (0, value - 1), "<=": (0, value), ">": (value + 1, TOP), ">=": (value, TOP)}[op]
        return CtIn(key, Intervals.union_of([(low, high)] if low <= high else []), way=way)
    if op not in ("==", "!="):
        raise Unread
    if key in WORDS:
        masked = None if mask is None else _word(key, mask)
        return CtIn(key, Intervals.of(_word(key, right)), masked, op == "!=", way)
    values = Intervals.union_of(spans(kind, right))
    if kind in FAMILIES:
        if mask is not None:
            raise Unread
        return CtIn(key, values if op == "==" else FAMILIES[kind] - values, way=way)
    return CtIn(key, values, None if mask is None else number(kind, mask), op == "!=", way)


ORDERED = frozenset({"<", "<=", ">", ">="})


def _word(key: CtKey, value: Json) -> int:
    """A direction, or status bits."""
    if key is CtKey.STATUS:
        return _bits(value)
    if not isinstance(value, str) or value not in WORDS[key]:
        raise Unread
    return WORDS[key][value]


def _bits(value: Json) -> int:
    """Status bits: one, a list, joined by `|`, or a number."""
    match value:
        case list() as parts:
            return sum({_bits(part) for part in parts})
        case {"|": [one, other]}:
            return _bits(one) | _bits(other)
        case str() if value in WORDS[CtKey.STATUS]:
            return WORDS[CtKey.STATUS][value]
        case int() if not isinstance(value, bool):
            return value
    raise Unread
