"""Matches as nft text; nft lists what it makes of it so that it parses to the same matches again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NoReturn

from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.model.address import V4_ALL, Family
from conntrim.core.model.address_types import AddressType
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import full
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import ORDER
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.ruleset import (
    CT_STATES,
    Field,
    In,
    InSet,
    Interface,
    Key,
    Match,
    NamedSet,
    OpaqueMatch,
    TableFamily,
    TcpFlag,
)  # fmt: skip

V4 = Intervals((V4_ALL,))
V6 = V4.complement(128)
FAMILIES = {TableFamily.IP: Family.IPV4, TableFamily.IP6: Family.IPV6}
PACKET_TYPES = ("host", "broadcast", "multicast", "other")
NAMED_TYPES = tuple(kind.name.lower() for kind in AddressType if kind <= AddressType.PROHIBIT)
"""The address types that nft has names for."""
INTERFACES = {"in": "iifname", "out": "oifname", "iif": "iifname", "oif": "oifname"}


def refused(what: object) -> NoReturn:
    """Nothing in nft says this."""
    raise NotExpressible(f"no nft rule says {what}")


def address_text(low: int, high: int) -> str:
    """A range of addresses, as an address or a prefix where it is one."""
    v4, size = V4_ALL[0] <= low <= V4_ALL[1], high - low + 1
    first = str(IPv4Address(low & 0xFFFFFFFF) if v4 else IPv6Address(low))
    if size == 1:
        return first
    if size & (size - 1) == 0 and low % size == 0:
        return f"{first}/{(32 if v4 else 128) - (size.bit_length() - 1)}"
    last = str(IPv4Address(high & 0xFFFFFFFF) if v4 else IPv6Address(high))
    return f"{first}-{last}"


def _numbers(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _types(low: int, high: int) -> str:
    """ICMP types, which stand above the code."""
    if low & 0xFF or high & 0xFF != 0xFF:
        refused(f"ICMP {low:#x}-{high:#x}")
    return _numbers(low >> 8, high >> 8)


def _named(names: tuple[str, ...]) -> Callable[[int, int], str]:
    def said(low: int, high: int) -> str:
        if high >= len(names):
            refused(f"type {high}")
        return ", ".join(names[low : high + 1])

    return said


def _family(low: int, high: int) -> str:
    return "ipv4" if low == Family.IPV4 else "ipv6"


SPELLINGS: dict[str, Callable[[int, int], str]] = {
    "ipv4_addr": address_text,
    "ipv6_addr": address_text,
    "icmp_type": _types,
    "icmpv6_type": _types,
    "pkt_type": _named(PACKET_TYPES),
    "fib_addrtype": _named(NAMED_TYPES),
    "nf_proto": _family,
    **dict.fromkeys(("inet_service", "inet_proto", "mark", "integer8", "integer16", "dscp"), _numbers),
}
"""nft's type to how a range of it is written."""

KINDS: dict[Field, str] = {
    Field.FAMILY: "nf_proto",
    Field.PROTOCOL: "inet_proto",
    Field.SPORT: "inet_service",
    Field.DPORT: "inet_service",
    Field.MARK: "mark",
    Field.PACKET_TYPE: "pkt_type",
    Field.SRC_TYPE: "fib_addrtype",
    Field.DST_TYPE: "fib_addrtype",
    Field.LENGTH: "integer16",
    Field.TTL: "integer8",
    Field.DSCP: "dscp",
    Field.ICMP: "icmp_type",
    Field.ICMPV6: "icmpv6_type",
    Field.SRC: "ipv6_addr",
    Field.DST: "ipv6_addr",
}
"""Field to the nft type of its values."""

PLAIN: dict[Field, str] = {
    Field.FAMILY: "meta nfproto",
    Field.PROTOCOL: "meta l4proto",
    Field.MARK: "meta mark",
    Field.PACKET_TYPE: "meta pkttype",
    Field.SRC_TYPE: "fib saddr type",
    Field.DST_TYPE: "fib daddr type",
    Field.LENGTH: "meta length",
    Field.ICMP: "icmp type",
    Field.ICMPV6: "icmpv6 type",
}
"""Field to the expression that needs no context."""

BY_FAMILY: dict[Field, tuple[str, str]] = {
    Field.SRC: ("ip saddr", "ip6 saddr"),
    Field.DST: ("ip daddr", "ip6 daddr"),
    Field.TTL: ("ip ttl", "ip6 hoplimit"),
    Field.DSCP: ("ip dscp", "ip6 dscp"),
}
"""Field to the expression in IPv4 and in IPv6."""


@dataclass(frozen=True, slots=True)
class Around:
    """What the rest of the rule and its table say: family and layer-4 protocol where they are one."""

    family: Family | None
    protocol: int | None
    sets: dict[str, NamedSet]


def around(matches: tuple[Match, ...], family: TableFamily, sets: dict[str, NamedSet]) -> Around:
    """The context of a rule's matches."""
    families = [m.values for m in matches if isinstance(m, In) and m.field is Field.FAMILY]
    protocols = [m.values for m in matches if isinstance(m, In) and m.field is Field.PROTOCOL]
    one = next((Family(v.ranges[0][0]) for v in families if v.size == 1), FAMILIES.get(family))
    return Around(one, next((v.ranges[0][0] for v in protocols if v.size == 1), None), sets)


def expression(where: Field | str, context: Around) -> str:
    """The left side of a comparison."""
    if not isinstance(where, Field):
        return where
    if where in (Field.IIF, Field.OIF):
        return INTERFACES[where]
    if where in PLAIN:
        return PLAIN[where]
    if where in BY_FAMILY:
        return BY_FAMILY[where][context.family is Family.IPV6] if context.family else refused(f"{where} of any family")
    header = Protocol(context.protocol).name.lower() if context.protocol in WITH_PORTS else "th"
    if where in (Field.SPORT, Field.DPORT):
        return f"{header} {where}"
    return "tcp flags" if where is Field.TCP_FLAGS else refused(where)


def _domain(where: Field, context: Around) -> Intervals:
    if where in (Field.SRC, Field.DST):
        return V4 if context.family is Family.IPV4 else V6
    if where is Field.FAMILY:
        return Intervals.of(*map(int, Family))
    return full(where)


def _compared(match: In, context: Around) -> str:
    """A field without a mask: one value, a range, a set, or none of them."""
    left, every = expression(match.field, context), _domain(match.field, context)
    others = every - match.values
    spell = SPELLINGS[KINDS[match.field]]
    if not match.values or (not others and match.field not in (Field.SRC, Field.DST)):
        return refused(match)
    negated = bool(others) and len(_whole(others).ranges) < len(_whole(match.values).ranges)
    said = ", ".join(spell(low, high) for low, high in _whole(others if negated else match.values).ranges)
    said = f"{{ {said} }}" if "," in said else said
    return f"{left} {'!= ' if negated else ''}{said}"


def _whole(values: Intervals) -> Intervals:
    """With the block of mapped addresses where it is all that parts two ranges: no packet carries one."""
    filled = values | V4
    return filled if not values & V4 and len(filled.ranges) < len(values.ranges) else values


def _flag_names(bits: int) -> str:
    return " | ".join(flag.name.lower() for flag in TcpFlag if bits & flag and flag.name) or "0x0"


def _masked(match: In, context: Around) -> str:
    """`X & mask == value` or `!=`."""
    mask, left = match.mask or 0, expression(match.field, context)
    every = _domain(match.field, context)
    for op, values in (("==", match.values), ("!=", every - match.values)):
        if values.size == 1:
            value = values.ranges[0][0]
            if match.field is Field.TCP_FLAGS:
                return f"{left} & ({_flag_names(mask)}) {op} {_flag_names(value)}"
            if match.field in (Field.SRC, Field.DST):
                bits = mask & 0xFFFFFFFF if context.family is Family.IPV4 else mask
                spelt = IPv4Address(bits) if context.family is Family.IPV4 else IPv6Address(bits)
                return f"{left} & {spelt} {op} {address_text(value, value)}"
            return f"{left} & {mask:#x} {op} {value:#x}"
    return refused(match)


def _code(match: In) -> str:
    """The ICMP code alone."""
    others = match.values.complement(16)
    negated = len(others.ranges) < len(match.values.ranges) or match.values.ranges[-1][1] > 0xFF
    said = ", ".join(_numbers(low, high) for low, high in (others if negated else match.values).ranges)
    said = f"{{ {said} }}" if "," in said else said
    return f"{match.field} code {'!= ' if negated else ''}{said}"


def _exact_flags(match: In) -> str:
    """The whole flags byte."""
    others = match.values.complement(8)
    negated = others.size < match.values.size
    values = list(others if negated else match.values)
    if not values:
        return refused(match)
    if len(values) == 1:
        return f"tcp flags {'!=' if negated else '=='} {_flag_names(values[0])}"
    return f"tcp flags {'!= ' if negated else ''}{{ {', '.join(_flag_names(v) for v in values)} }}"


def _field(match: In, context: Around) -> str:
    if match.field is Field.CT_STATE:
        names = [CtState(n).name.lower() for n in match.values & CT_STATES]
        return f"ct state {','.join(names)}" if names else refused(match)
    if match.field is Field.FRAGMENT:
        return f"ip frag-off & 0x1fff {'!=' if match.values == Intervals.of(1) else '=='} 0"
    if match.field in (Field.ICMP, Field.ICMPV6) and match.mask == 0xFF:
        return _code(match)
    if match.mask is not None:
        return _masked(match, context)
    return _exact_flags(match) if match.field is Field.TCP_FLAGS else _compared(match, context)


def key_text(key: Key, kind: str) -> str:
    """One part of a set's element."""
    if isinstance(key, tuple):
        return f'"{key[0]}"' if kind in ("ifname", "iface_index", "iifname", "oifname", "iif", "oif") else key[0]
    if kind not in SPELLINGS or len(key.ranges) != 1:
        refused(f"an element of type {kind}")
    return SPELLINGS[kind](*key.ranges[0])


def _in_set(match: InSet, context: Around) -> str:
    named = context.sets.get(match.set_name)
    kinds = named.kind.split(" . ") if named and not named.anonymous else []
    lefts = []
    for at, where in enumerate(match.fields):
        family = {"ipv4_addr": Family.IPV4, "ipv6_addr": Family.IPV6}.get(kinds[at] if at < len(kinds) else "")
        lefts.append(expression(where, Around(family or context.family, context.protocol, context.sets)))
    right = f"@{match.set_name}"
    if named is not None and named.anonymous:
        parts = [KINDS.get(where, where) if isinstance(where, Field) else where for where in match.fields]
        right = ", ".join(
            " . ".join(key_text(key, kind) for key, kind in zip(element, parts, strict=True))
            for element in named.elements
        )
        right = f"{{ {right} }}"
    return f"{' . '.join(lefts)} {'!= ' if match.negated else ''}{right}"


def match_text(match: Match, context: Around) -> str:
    """One match; NotExpressible where nft has no such thing."""
    match match:
        case In():
            return _field(match, context)
        case Interface(way, names, negated):
            said = ", ".join(f'"{name}"' for name in names)
            return f"{INTERFACES[way]} {'!= ' if negated else ''}{said if len(names) == 1 else f'{{ {said} }}'}"
        case InSet():
            return _in_set(match, context)
        case OpaqueMatch(kind, text) if kind != ORDER and not text.startswith(("{", "--", "!")):
            return text
    return refused(match)
