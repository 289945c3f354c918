"""How nft says each field: one row an expression, and one a type of its values; the parser reads them, the emitter
writes them.

Of a field's rows the emitter takes the first that fits the rule's family and protocol; so the order is what nft lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as default
from enum import Enum

from conntrim.core.dialect import names
from conntrim.core.model.address import V4_ALL, Family
from conntrim.core.model.address_types import AddressType
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field, TcpFlag
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import NUMBERS, WITH_PORTS, Protocol
from conntrim.core.model.ruleset import CT_STATES


class Spelt(Enum):
    """How nft spells the values of a type."""

    NUMBERS = "`80`, `80-90`; names are read"
    NAMES = "by name alone"
    ADDRESSES = "an address, a prefix or a range"
    ABOVE = "ICMP types, which stand above the code in the field"
    CODES = "ICMP codes, the low bits of the field"
    FLAGS = "names joined by `|`; a list asks for any of them"
    STATES = "names; a list asks for any of them"
    DEVICES = "names in quotes"


@dataclass(frozen=True, slots=True)
class NftType:
    """The type of what a field is compared with: its symbols, and its values where they are not every number of the
    field's bits. Of the symbols of one number the first is written."""

    spelt: Spelt
    symbols: Mapping[str, int] = default(default_factory=dict)
    domain: Intervals | None = None


V4 = Intervals((V4_ALL,))
V6 = V4.complement(128)
_FAMILIES = Intervals.of(*map(int, Family))

TYPES: dict[str, NftType] = {
    "nf_proto": NftType(Spelt.NAMES, {"ipv4": int(Family.IPV4), "ipv6": int(Family.IPV6)}, _FAMILIES),
    "ether_type": NftType(Spelt.NAMES, {"ip": int(Family.IPV4), "ip6": int(Family.IPV6)}, _FAMILIES),
    "inet_proto": NftType(Spelt.NUMBERS, NUMBERS),
    "ipv4_addr": NftType(Spelt.ADDRESSES, domain=V4),
    "ipv6_addr": NftType(Spelt.ADDRESSES, domain=V6),
    "inet_service": NftType(Spelt.NUMBERS, names.SERVICES),
    "mark": NftType(Spelt.NUMBERS),
    "integer8": NftType(Spelt.NUMBERS),
    "integer16": NftType(Spelt.NUMBERS),
    "dscp": NftType(Spelt.NUMBERS, {name.lower(): value for name, value in names.DSCP_CLASSES.items()} | {"lephb": 1}),
    "ecn": NftType(Spelt.NUMBERS, {"not-ect": 0, "ect1": 1, "ect0": 2, "ce": 3}),
    "pkt_type": NftType(Spelt.NAMES, {"host": 0, "broadcast": 1, "multicast": 2, "other": 3, "unicast": 0}),
    "fib_addrtype": NftType(
        Spelt.NAMES, {kind.name.lower(): int(kind) for kind in AddressType if kind <= AddressType.PROHIBIT}
    ),
    "ct_state": NftType(Spelt.STATES, {state.name.lower(): int(state) for state in CtState}, CT_STATES),
    "tcp_flag": NftType(Spelt.FLAGS, {flag.name.lower(): int(flag) for flag in TcpFlag} | {"ecn": int(TcpFlag.ECE)}),
    "icmp_type": NftType(Spelt.ABOVE, names.NFT_ICMP_TYPES),
    "icmp_code": NftType(Spelt.CODES, names.NFT_ICMP_CODES),
    "icmpv6_type": NftType(Spelt.ABOVE, names.NFT_ICMPV6_TYPES),
    "icmpv6_code": NftType(Spelt.CODES, names.NFT_ICMPV6_CODES),
    "ifname": NftType(Spelt.DEVICES),
    "iface_index": NftType(Spelt.DEVICES),
}
"""nft's types by its own names; what is of another type is not read."""


@dataclass(frozen=True, slots=True)
class NftExpression:
    """The left side of a comparison in nft's words, its field, and its type.

    `family`, `protocol`: what nft leaves unsaid because the expression implies it. `mask`: the bits that are compared.
    """

    words: str
    field: Field
    type: str
    family: Family | None = None
    protocol: int | None = None
    mask: int | None = None


_V4, _V6 = Family.IPV4, Family.IPV6
_ICMP, _ICMPV6 = int(Protocol.ICMP), int(Protocol.ICMPV6)

EXPRESSIONS: tuple[NftExpression, ...] = (
    NftExpression("meta nfproto", Field.FAMILY, "nf_proto"),
    NftExpression("meta protocol", Field.FAMILY, "ether_type"),
    NftExpression("meta l4proto", Field.PROTOCOL, "inet_proto"),
    # See `document.NEXTHDR` for what `ip6 nexthdr` leaves out.
    NftExpression("ip protocol", Field.PROTOCOL, "inet_proto", _V4),
    NftExpression("ip6 nexthdr", Field.PROTOCOL, "inet_proto", _V6),
    NftExpression("iifname", Field.IIF, "ifname"),
    NftExpression("iif", Field.IIF, "iface_index"),
    NftExpression("oifname", Field.OIF, "ifname"),
    NftExpression("oif", Field.OIF, "iface_index"),
    NftExpression("ip saddr", Field.SRC, "ipv4_addr", _V4),
    NftExpression("ip6 saddr", Field.SRC, "ipv6_addr", _V6),
    NftExpression("ip daddr", Field.DST, "ipv4_addr", _V4),
    NftExpression("ip6 daddr", Field.DST, "ipv6_addr", _V6),
    *(
        NftExpression(f"{protocol.name.lower()} {name}", field, "inet_service", protocol=int(protocol))
        for protocol in sorted(WITH_PORTS)
        for name, field in (("sport", Field.SPORT), ("dport", Field.DPORT))
    ),
    NftExpression("th sport", Field.SPORT, "inet_service"),
    NftExpression("th dport", Field.DPORT, "inet_service"),
    NftExpression("tcp flags", Field.TCP_FLAGS, "tcp_flag", protocol=int(Protocol.TCP)),
    NftExpression("icmp type", Field.ICMP, "icmp_type", _V4, _ICMP),
    NftExpression("icmp code", Field.ICMP, "icmp_code", _V4, _ICMP, 0xFF),
    NftExpression("icmpv6 type", Field.ICMPV6, "icmpv6_type", _V6, _ICMPV6),
    NftExpression("icmpv6 code", Field.ICMPV6, "icmpv6_code", _V6, _ICMPV6, 0xFF),
    NftExpression("ct state", Field.CT_STATE, "ct_state"),
    NftExpression("meta mark", Field.MARK, "mark"),
    NftExpression("meta pkttype", Field.PACKET_TYPE, "pkt_type"),
    NftExpression("fib saddr type", Field.SRC_TYPE, "fib_addrtype"),
    NftExpression("fib daddr type", Field.DST_TYPE, "fib_addrtype"),
    NftExpression("meta length", Field.LENGTH, "integer16"),
    NftExpression("ip length", Field.LENGTH, "integer16", _V4),
    NftExpression("ip ttl", Field.TTL, "integer8", _V4),
    NftExpression("ip6 hoplimit", Field.TTL, "integer8", _V6),
    NftExpression("ip dscp", Field.DSCP, "dscp", _V4),
    NftExpression("ip6 dscp", Field.DSCP, "dscp", _V6),
    NftExpression("ip ecn", Field.ECN, "ecn", _V4),
    NftExpression("ip6 ecn", Field.ECN, "ecn", _V6),
)
"""Every expression that says one field."""

FRAGMENT = ("ip frag-off", 0x1FFF)
"""`ip frag-off & 0x1fff != 0`: the offset in which only fragments other than the first have bits."""

ELSEWHERE: dict[Field, str] = {Field.FRAGMENT: "bits of a header field compared with zero: `FRAGMENT`"}
"""Fields that no expression says alone, and what says them."""
