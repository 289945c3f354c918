"""What an nft rule compares: an expression's field, its type of value, and what nft hides because it follows."""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.model.address import Family
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nft_words import Json
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Field, In, TableFamily


class Unread(ValueError):  # noqa: N818 - it names what is so
    """An expression that the model does not know: it stays opaque."""


@dataclass(frozen=True, slots=True)
class Left:
    """A field, the nft type of its values, and the matches that it needs to be there at all.

    `shift`: the values' place in the field's number (ICMP types above the code). `mask`: the bits that are compared.
    """

    field: Field
    kind: str
    needs: tuple[In, ...] = ()
    shift: int = 0
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class Name:
    """An interface's name; `way` is in or out."""

    way: str


def only(field: Field, value: int) -> In:
    """The field is this one value."""
    return In(field, Intervals.of(int(value)))


V4, V6 = only(Field.FAMILY, Family.IPV4), only(Field.FAMILY, Family.IPV6)


def l4(protocol: int) -> In:
    """The layer-4 protocol is this one."""
    return only(Field.PROTOCOL, protocol)


HEADERS: dict[tuple[str, str], Left] = {
    ("ip", "saddr"): Left(Field.SRC, "ipv4_addr", (V4,)),
    ("ip", "daddr"): Left(Field.DST, "ipv4_addr", (V4,)),
    ("ip6", "saddr"): Left(Field.SRC, "ipv6_addr", (V6,)),
    ("ip6", "daddr"): Left(Field.DST, "ipv6_addr", (V6,)),
    ("ip", "protocol"): Left(Field.PROTOCOL, "inet_proto", (V4,)),
    ("ip6", "nexthdr"): Left(Field.PROTOCOL, "inet_proto", (V6,)),
    ("ip", "ttl"): Left(Field.TTL, "integer8", (V4,)),
    ("ip6", "hoplimit"): Left(Field.TTL, "integer8", (V6,)),
    ("ip", "dscp"): Left(Field.DSCP, "dscp", (V4,)),
    ("ip6", "dscp"): Left(Field.DSCP, "dscp", (V6,)),
    ("ip", "length"): Left(Field.LENGTH, "integer16", (V4,)),
    ("tcp", "flags"): Left(Field.TCP_FLAGS, "tcp_flag", (l4(Protocol.TCP),)),
    ("icmp", "type"): Left(Field.ICMP, "icmp_type", (V4, l4(Protocol.ICMP)), 8),
    ("icmp", "code"): Left(Field.ICMP, "icmp_code", (V4, l4(Protocol.ICMP)), 0, 0xFF),
    ("icmpv6", "type"): Left(Field.ICMPV6, "icmpv6_type", (V6, l4(Protocol.ICMPV6)), 8),
    ("icmpv6", "code"): Left(Field.ICMPV6, "icmpv6_code", (V6, l4(Protocol.ICMPV6)), 0, 0xFF),
    ("th", "sport"): Left(Field.SPORT, "inet_service"),
    ("th", "dport"): Left(Field.DPORT, "inet_service"),
    **{
        (protocol.name.lower(), name): Left(field, "inet_service", (l4(protocol),))
        for protocol in (Protocol.TCP, Protocol.UDP, Protocol.DCCP, Protocol.SCTP, Protocol.UDPLITE)
        for name, field in (("sport", Field.SPORT), ("dport", Field.DPORT))
    },
}
"""Header fields. `ip protocol` in an IPv4 packet is the layer-4 protocol; see `document.NEXTHDR` for `ip6 nexthdr`."""

META: dict[str, Left | Name] = {
    "nfproto": Left(Field.FAMILY, "nf_proto"),
    "protocol": Left(Field.FAMILY, "ether_type"),
    "l4proto": Left(Field.PROTOCOL, "inet_proto"),
    "mark": Left(Field.MARK, "mark"),
    "pkttype": Left(Field.PACKET_TYPE, "pkt_type"),
    "length": Left(Field.LENGTH, "integer16"),
    "iif": Name("in"),
    "iifname": Name("in"),
    "oif": Name("out"),
    "oifname": Name("out"),
}
"""`meta` keys that the model knows."""

FIB: dict[tuple[str, ...], Left] = {
    ("saddr",): Left(Field.SRC_TYPE, "fib_addrtype"),
    ("daddr",): Left(Field.DST_TYPE, "fib_addrtype"),
}
"""`fib ... type`; with an interface among the flags it asks more than the address."""


def _plain(expression: Json) -> Left | Name:
    match expression:
        case {"payload": {"protocol": str(protocol), "field": str(name)}} if (protocol, name) in HEADERS:
            return HEADERS[protocol, name]
        case {"meta": {"key": str(key)}} if key in META:
            return META[key]
        case {"ct": {"key": "state"}}:
            return Left(Field.CT_STATE, "ct_state")
        case {"fib": {"result": "type", "flags": str() | list() as flags}}:
            # nft 1.0.6 gives a single flag as a list, later versions as text.
            names = (flags,) if isinstance(flags, str) else tuple(map(str, flags))
            if names in FIB:
                return FIB[names]
    raise Unread


def left(expression: Json, family: TableFamily) -> Left | Name:
    """The left side of a comparison; Unread where the model has no such field.

    In a table of one family nft needs no family check, so none is added.
    """
    found = _plain(expression)
    if isinstance(found, Left) and family is not TableFamily.INET and found.needs:
        kept = tuple(need for need in found.needs if need.field is not Field.FAMILY)
        return Left(found.field, found.kind, kept, found.shift, found.mask)
    return found
