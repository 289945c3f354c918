"""What iptables' `-m conntrack` and `-m connmark` ask of an entry beside its state."""

from __future__ import annotations

from conntrim.core.model.conntrack import Status
from conntrim.core.model.ct_match import CtIn, CtKey, Way, any_of
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.parse.xt.canonical import Given, Option
from conntrim.core.parse.xt.numbers import V4, V6, masked, ports, prefix, protocol, span

ADDRESSES: dict[str, tuple[CtKey, Way]] = {
    "ctorigsrc": (CtKey.SRC, Way.ORIGINAL), "ctorigdst": (CtKey.DST, Way.ORIGINAL),
    "ctreplsrc": (CtKey.SRC, Way.REPLY), "ctrepldst": (CtKey.DST, Way.REPLY),
}  # fmt: skip

PORTS: dict[str, tuple[CtKey, Way]] = {
    "ctorigsrcport": (CtKey.SPORT, Way.ORIGINAL), "ctorigdstport": (CtKey.DPORT, Way.ORIGINAL),
    "ctreplsrcport": (CtKey.SPORT, Way.REPLY), "ctrepldstport": (CtKey.DPORT, Way.REPLY),
}  # fmt: skip

STATUS: dict[str, int] = {
    "NONE": 0, "EXPECTED": Status.EXPECTED, "SEEN_REPLY": Status.SEEN_REPLY, "ASSURED": Status.ASSURED,
    "CONFIRMED": Status.CONFIRMED,
}  # fmt: skip
"""`--ctstatus`: any of these bits."""


def asked(option: Option, v6: bool) -> CtIn:
    """One option; ValueError for a value that makes no sense."""
    negated, name, (text,) = option
    if name in ADDRESSES:
        key, way = ADDRESSES[name]
        found = prefix(Field.SRC, text, negated, v6)
        return CtIn(key, found.values, found.mask, way=way) if found else CtIn(key, V6 if v6 else V4, way=way)
    if name in PORTS:
        key, way = PORTS[name]
        if "," in text or not ports(text):
            raise ValueError(f"{text!r} is no port and no range of ports")
        return CtIn(key, ports(text), None, negated, way)
    if name == "ctstatus":
        return any_of(sum(_named(text, STATUS)), negated)
    if name == "ctdir":
        if negated or "," in text:
            raise ValueError("--ctdir takes one direction, not negated")
        return CtIn(CtKey.DIRECTION, Intervals.of(*_named(text, {"ORIGINAL": 0, "REPLY": 1})))
    if name == "ctproto":
        return CtIn(CtKey.PROTOCOL, Intervals.of(protocol(text)), None, negated)
    return CtIn(CtKey.EXPIRATION, Intervals.of(span(text, 0xFFFFFFFF, "time")), None, negated)


def _named(text: str, table: dict[str, int]) -> list[int]:
    words = set(text.upper().split(","))
    if unknown := words - set(table):
        raise ValueError(f"{min(unknown)!r} is none of {', '.join(sorted(table))}")
    return [table[word] for word in words]


def connmark(given: Given, v6: bool) -> tuple[CtIn, ...]:
    """The entry's mark."""
    if len(given) != 1:
        raise ValueError("connmark takes exactly one mark")
    value, mask = masked(given[0].values[0], 32, "mark")
    return (CtIn(CtKey.MARK, Intervals.of(value), None if mask == 0xFFFFFFFF else mask, given[0].negated),)
