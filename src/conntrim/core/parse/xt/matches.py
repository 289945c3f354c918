"""What iptables' matches mean: a field in a set where that says it all, else `OpaqueMatch` with the exact text."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from conntrim.core.model.address_types import AddressType
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.ruleset import (
    CT_STATES,
    AnyOf,
    Field,
    In,
    InSet,
    Match,
    OpaqueMatch,
    TcpFlag,
    XtConntrack,
)
from conntrim.core.parse.xt import words as names
from conntrim.core.parse.xt.canonical import Given, Option, written
from conntrim.core.parse.xt.numbers import address_range, masked, matched, number, ports, prefix, span
from conntrim.core.parse.xt.numbers import protocol as protocol_number
from conntrim.core.parse.xt.options import MATCHES

Meaning = Callable[[Option, bool], Match | None]
"""One option of the family (v6 or not) to its match; None where it matches whatever the module matches."""


def _ports(field: Field, backwards: bool = True) -> Meaning:
    def meaning(option: Option, v6: bool) -> Match | None:
        text = option.values[0]
        if "," in text:
            raise ValueError(f"{text!r} is a list; only multiport takes lists")
        values = ports(text)
        if not values and not backwards:
            raise ValueError(f"port range {text!r} runs backwards")
        return None if values == Intervals.full(16) and not option.negated else matched(field, values, option.negated)

    return meaning


def _flags(text: str) -> int:
    bits = 0
    for name in text.split(","):
        if name not in names.FLAGS:
            raise ValueError(f"{name!r} is no TCP flag")
        bits |= names.FLAGS[name]
    return bits


def _tcp_flags(option: Option, v6: bool) -> Match:
    mask, wanted = map(_flags, option.values)
    return matched(Field.TCP_FLAGS, Intervals.of(wanted), option.negated, mask)


def _syn(option: Option, v6: bool) -> Match:
    mask = TcpFlag.FIN | TcpFlag.SYN | TcpFlag.RST | TcpFlag.ACK
    return matched(Field.TCP_FLAGS, Intervals.of(int(TcpFlag.SYN)), option.negated, int(mask))


def _icmp(field: Field, table: dict[str, tuple[int, int | None]]) -> Meaning:
    def meaning(option: Option, v6: bool) -> Match | None:
        text = option.values[0]
        kind, code = table[text] if text in table else _icmp_numbers(text)
        if kind == names.ANY_ICMP or (kind == 255 and field is Field.ICMP):
            # The kernel takes type 255 as "any" (icmp_type_code_match in ip_tables.c), iptables prints it so.
            return In(field, Intervals()) if option.negated else None
        low, high = (code, code) if code is not None else (0, 255)
        return matched(field, Intervals.of((kind << 8 | low, kind << 8 | high)), option.negated)

    return meaning


def _icmp_numbers(text: str) -> tuple[int, int | None]:
    kind, slash, code = text.partition("/")
    return number(kind, 255, "ICMP type"), number(code, 255, "ICMP code") if slash else None


def _iprange(field: Field) -> Meaning:
    return lambda option, v6: address_range(field, option.values[0], option.negated, v6)


def _mark(option: Option, v6: bool) -> Match:
    value, mask = masked(option.values[0], 32, "mark")
    return matched(Field.MARK, Intervals.of(value), option.negated, mask)


def _named(field: Field, table: dict[str, int], bits: int) -> Meaning:
    def meaning(option: Option, v6: bool) -> Match:
        text = option.values[0]
        value = table[text] if text in table else number(text, (1 << bits) - 1, option.name)
        return matched(field, Intervals.of(value), option.negated)

    return meaning


def _length(option: Option, v6: bool) -> Match:
    return matched(Field.LENGTH, Intervals.of(span(option.values[0], 0xFFFF, "length")), option.negated)


def _hops(option: Option, v6: bool) -> Match:
    value = number(option.values[0], 255, "TTL")
    wanted = {"lt": Intervals.of((0, value - 1)) if value else Intervals(), "gt": Intervals.of((value + 1, 255))}
    if value == 255:
        wanted["gt"] = Intervals()
    return matched(Field.TTL, wanted.get(option.name[-2:], Intervals.of(value)), option.negated)


_PORT_OPTIONS: dict[str, Meaning] = {
    "sport": _ports(Field.SPORT), "source-port": _ports(Field.SPORT),
    "dport": _ports(Field.DPORT), "destination-port": _ports(Field.DPORT),
}  # fmt: skip
_TCP_PORTS: dict[str, Meaning] = {
    "sport": _ports(Field.SPORT, backwards=False), "source-port": _ports(Field.SPORT, backwards=False),
    "dport": _ports(Field.DPORT, backwards=False), "destination-port": _ports(Field.DPORT, backwards=False),
}  # fmt: skip
"""libxt_tcp checks that a range runs forwards, libxt_udp does not."""

_V6_ICMP: dict[str, Meaning] = {"icmpv6-type": _icmp(Field.ICMPV6, names.ICMPV6_TYPES)}

INDEPENDENT: dict[str, dict[str, Meaning]] = {
    "tcp": {**_TCP_PORTS, "tcp-flags": _tcp_flags, "syn": _syn},
    "udp": _PORT_OPTIONS,
    "udplite": _PORT_OPTIONS,
    "sctp": _PORT_OPTIONS,
    "dccp": _PORT_OPTIONS,
    "icmp": {"icmp-type": _icmp(Field.ICMP, names.ICMP_TYPES)},
    "icmp6": _V6_ICMP,
    "ipv6-icmp": _V6_ICMP,
    "icmpv6": _V6_ICMP,
    "iprange": {"src-range": _iprange(Field.SRC), "dst-range": _iprange(Field.DST)},
    "mark": {"mark": _mark},
    "pkttype": {"pkt-type": _named(Field.PACKET_TYPE, names.PACKET_TYPES, 3)},
    "length": {"length": _length},
    "ttl": dict.fromkeys(("ttl-eq", "ttl-lt", "ttl-gt", "ttl"), _hops),
    "hl": dict.fromkeys(("hl-eq", "hl-lt", "hl-gt"), _hops),
    "dscp": dict.fromkeys(("dscp", "dscp-class"), _named(Field.DSCP, names.DSCP_CLASSES, 6)),
}
"""Matches whose options each stand for themselves; an option that is not here stays opaque by itself."""


def _protocol_number(option: Option) -> Option:
    """`--ctproto tcp` is listed as `--ctproto 6`."""
    if option.name != "ctproto":
        return option
    return Option(option.negated, option.name, (str(protocol_number(option.values[0])),))


STATUS = frozenset({"NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"})


def _words(allowed: frozenset[str]) -> Callable[[str, bool], object]:
    def check(text: str, v6: bool) -> None:
        if unknown := set(text.upper().split(",")) - allowed:
            raise ValueError(f"{min(unknown)!r} is none of {', '.join(sorted(allowed))}")

    return check


def _is_ports(text: str, v6: bool) -> None:
    if "," in text or not ports(text):
        raise ValueError(f"{text!r} is no port and no range of ports")


def _is_prefix(text: str, v6: bool) -> None:
    prefix(Field.SRC, text, False, v6)


CHECKED: dict[str, Callable[[str, bool], object]] = {
    "ctstatus": _words(STATUS),
    "ctdir": _words(frozenset({"ORIGINAL", "REPLY"})),
    "ctexpire": lambda text, v6: span(text, 0xFFFFFFFF, "time"),
    **dict.fromkeys(("ctorigsrc", "ctorigdst", "ctreplsrc", "ctrepldst"), _is_prefix),
    **dict.fromkeys(("ctorigsrcport", "ctorigdstport", "ctreplsrcport", "ctrepldstport"), _is_ports),
}
"""What iptables takes as the values of options that stay text here: what asks of an entry reads them later."""


def _conntrack(given: Given, v6: bool) -> tuple[Match, ...]:
    order = list(MATCHES["conntrack"])
    for option in given:
        if option.name in CHECKED:
            CHECKED[option.name](option.values[0], v6)
    chosen = [o for o in given if o.name in ("ctstate", "state")]
    others = sorted((o for o in given if o not in chosen), key=lambda o: order.index(o.name))
    text = written("conntrack", [_protocol_number(o) for o in others], v6)
    if not chosen:
        return (XtConntrack(None, others=text),) if others else ()
    listed = set(chosen[-1].values[0].upper().split(","))
    pseudo, negated = listed & {"SNAT", "DNAT"}, chosen[-1].negated
    unknown = listed - set(names.STATES) - pseudo
    if unknown:
        raise ValueError(f"{min(unknown)!r} is no connection state")
    states = Intervals.of(*(int(names.STATES[name]) for name in listed - pseudo))
    return (
        XtConntrack(
            CT_STATES - states if negated else states,
            "SNAT" in pseudo,
            "DNAT" in pseudo,
            text,
            negated and bool(pseudo),
        ),
    )


def _multiport(given: Given, v6: bool) -> tuple[Match, ...]:
    if len(given) != 1:
        raise ValueError("multiport takes exactly one list of ports")
    negated, name, (text,) = given[0]
    values = ports(text)
    if any(not ports(part) for part in text.split(",")):
        raise ValueError(f"a port range of {text!r} runs backwards")
    both = tuple(matched(field, values, negated) for field in (Field.SPORT, Field.DPORT))
    if name == "ports":
        return both if negated else (AnyOf(both),)
    return (both[0] if name in ("sports", "source-ports") else both[1],)


def _addrtype(given: Given, v6: bool) -> tuple[Match, ...]:
    limited = any(o.name.startswith("limit-iface") for o in given)
    if limited or (v6 and any(o.values[0].upper() != "LOCAL" for o in given)):
        # Over IPv6 the kinds of a list must all be so, and UNICAST includes the host's own addresses (K43).
        return (OpaqueMatch("addrtype", written("addrtype", given, v6)),)
    fields = {"src-type": Field.SRC_TYPE, "dst-type": Field.DST_TYPE}
    found = []
    for negated, name, (text,) in sorted(given, key=lambda o: o.name, reverse=True):
        unknown = set(text.upper().split(",")) - AddressType.__members__.keys()
        if unknown:
            raise ValueError(f"{min(unknown)!r} is no address type")
        values = Intervals.of(*(AddressType[kind] for kind in text.upper().split(",")))
        found.append(matched(fields[name], values, negated))
    return tuple(found)


def _set(given: Given, v6: bool) -> tuple[Match, ...]:
    first = given[0]
    if len(given) != 1 or first.name not in ("match-set", "set"):
        return (OpaqueMatch("set", written("set", given, v6)),)
    name, ways = first.values
    fields = tuple(ways.split(","))
    if not set(fields) <= {"src", "dst"}:
        raise ValueError(f"{ways!r} is no list of src and dst")
    return (InSet(name, fields, first.negated),)


WHOLE: dict[str, Callable[[Given, bool], tuple[Match, ...]]] = {
    "conntrack": _conntrack,
    "state": _conntrack,
    "multiport": _multiport,
    "addrtype": _addrtype,
    "set": _set,
}
"""Matches whose options have a meaning only together."""

NEEDS_PROTOCOL: dict[str, frozenset[int]] = {
    "tcp": frozenset({Protocol.TCP}),
    "udp": frozenset({Protocol.UDP}),
    "udplite": frozenset({Protocol.UDPLITE}),
    "sctp": frozenset({Protocol.SCTP}),
    "dccp": frozenset({Protocol.DCCP}),
    "icmp": frozenset({Protocol.ICMP}),
    "icmp6": frozenset({Protocol.ICMPV6}),
    "multiport": frozenset(WITH_PORTS),
}
"""What `-p` must say, not negated, before the kernel takes such a match."""


@lru_cache(maxsize=65536)
def meaning(module: str, given: Given, protocol: int | None, v6: bool) -> tuple[Match, ...]:
    """One module with its options as matches; ValueError for a value that makes no sense."""
    if protocol not in NEEDS_PROTOCOL.get(module, (protocol,)):
        wanted = sorted(Protocol(p).name.lower().replace("icmpv6", "ipv6-icmp") for p in NEEDS_PROTOCOL[module])
        raise ValueError(f"-m {module} needs -p {' or '.join(wanted)}")
    if module in WHOLE and given:
        return WHOLE[module](given, v6)
    if module not in INDEPENDENT:
        return (OpaqueMatch(module, written(module, given, v6)),)
    table = INDEPENDENT[module]
    order = [*table, *MATCHES.get(module, ())]
    found: list[Match] = []
    for option in sorted(given, key=lambda o: order.index(o.name)):
        match = (
            table[option.name](option, v6)
            if option.name in table
            else OpaqueMatch(module, written(module, (option,), v6))
        )
        if match is not None:
            found.append(match)
    return tuple(found)
