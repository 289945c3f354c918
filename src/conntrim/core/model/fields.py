"""The fields of a packet: one registry, from which everything that is said field by field derives.

What a field is stands here, how the dialects spell it in `core/dialect`. Whoever goes through the fields asks `FIELDS`;
what only few of them need is a table whose rows `tests/unit/core/test_field_tables.py` counts by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import WITH_PORTS, Protocol


class Field(StrEnum):
    """A packet's property that a match compares: with a set of numbers, or (`IIF`, `OIF`) with names."""

    FAMILY = "family"  # address.Family
    PROTOCOL = "protocol"  # layer-4 protocol number
    IIF = "iif"  # the interface that the packet comes in by; "" where there is none
    OIF = "oif"
    SRC = "src"  # 128-bit, IPv4 mapped (address.py)
    DST = "dst"
    SPORT = "sport"
    DPORT = "dport"
    ICMP = "icmp"  # ICMP type << 8 | code
    ICMPV6 = "icmpv6"
    TCP_FLAGS = "tcp_flags"  # the flags byte: see `TcpFlag`
    CT_STATE = "ct_state"  # conntrack.CtState; nft's `ct state`
    MARK = "mark"
    PACKET_TYPE = "packet_type"  # address_types.PacketType
    SRC_TYPE = "src_type"  # address_types.AddressType
    DST_TYPE = "dst_type"
    FRAGMENT = "fragment"  # 1: a fragment other than the first
    LENGTH = "length"  # bytes of the layer-3 packet
    TTL = "ttl"
    DSCP = "dscp"
    ECN = "ecn"  # RFC 3168: not-ECT 0, ECT(1) 1, ECT(0) 2, CE 3


class TcpFlag(IntEnum):
    """The bits of `Field.TCP_FLAGS`."""

    FIN = 1
    SYN = 2
    RST = 4
    PSH = 8
    ACK = 16
    URG = 32
    ECE = 64
    CWR = 128


class Source(Enum):
    """Where the kernel has a field's value from."""

    HEADER = "the packet's own headers"
    BESIDE = "what is attached to the packet on its way"
    WORKED_OUT = "the rest of the packet, the hook, the host"
    DEVICE = "the device that it passes: a name"


class ChangedBy(Enum):
    """What may make a field another one while the packet passes this host's hooks."""

    NEVER = "nothing"
    NAT = "a translation"
    RULES = "a rule's statement"
    TRACKING = "conntrack, and rules"
    HOP = "forwarding, and a rule's statement"
    WAY = "the way: another half of the loopback is another place"


class Reading(Enum):
    """How a set of a field's values reads in words."""

    NUMBERS = "`80, 1024-2047`"
    ADDRESSES = "`192.0.2.0/24`"
    PROTOCOLS = "`tcp, udp`"
    DEVICES = "`eth0`"
    TYPES = "`3/4`: an ICMP type and code"
    FLAGS = "`SYN+ACK`"
    SILENT = "nothing is told of it"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field. All of it must be said: there are no defaults that somebody forgot to think of.

    `bits`: 0 where they depend on what the rules tell apart. `attribute`: what of `Packet` holds it, "" where nothing
    does. `protocols`: the only ones that have it, in whole packets (empty: every packet has it). `mirror`: the field of
    the answer in which its value stands. `varies`: it differs between packets of one sender. `usual`: what a packet has
    of which nothing else is asked. `rank`: when a box of packets gives the field up, what a reader misses least first;
    0: it is no property of a box. `phrase` stands before its values, in the order of the registry.
    """

    bits: int
    source: Source
    attribute: str
    protocols: frozenset[int]
    mirror: Field
    changed: ChangedBy
    varies: bool
    usual: Intervals
    rank: int
    phrase: str
    reading: Reading


_EVERY: frozenset[int] = frozenset()
_PORTS: frozenset[int] = frozenset(map(int, WITH_PORTS))
_TCP, _ICMP, _ICMPV6 = (frozenset({int(p)}) for p in (Protocol.TCP, Protocol.ICMP, Protocol.ICMPV6))
_ANY, _ZERO = Intervals(), Intervals.of(0)
_F, _S, _C, _R = Field, Source, ChangedBy, Reading

# fmt: off
FIELDS: dict[Field, FieldSpec] = {
    # field: bits, source, attribute, protocols, mirror, changed, varies, usual, rank, phrase, reading
    _F.FAMILY: FieldSpec(
        8, _S.WORKED_OUT, "family", _EVERY, _F.FAMILY, _C.NEVER, False, _ANY, 0, "", _R.SILENT),
    _F.PROTOCOL: FieldSpec(
        8, _S.HEADER, "protocol", _EVERY, _F.PROTOCOL, _C.NEVER, False, _ANY, 140, "", _R.PROTOCOLS),
    _F.IIF: FieldSpec(0, _S.DEVICE, "iif", _EVERY, _F.OIF, _C.WAY, False, _ANY, 80, "in by", _R.DEVICES),
    _F.OIF: FieldSpec(0, _S.DEVICE, "oif", _EVERY, _F.IIF, _C.WAY, False, _ANY, 90, "out by", _R.DEVICES),
    _F.SRC: FieldSpec(128, _S.HEADER, "src", _EVERY, _F.DST, _C.NAT, False, _ANY, 100, "from", _R.ADDRESSES),
    _F.DST: FieldSpec(128, _S.HEADER, "dst", _EVERY, _F.SRC, _C.NAT, False, _ANY, 110, "to", _R.ADDRESSES),
    _F.SPORT: FieldSpec(
        16, _S.HEADER, "sport", _PORTS, _F.DPORT, _C.NAT, False, _ANY, 120, "source port", _R.NUMBERS),
    _F.DPORT: FieldSpec(
        16, _S.HEADER, "dport", _PORTS, _F.SPORT, _C.NAT, False, _ANY, 130, "destination port", _R.NUMBERS),
    _F.ICMP: FieldSpec(16, _S.HEADER, "icmp", _ICMP, _F.ICMP, _C.NEVER, False, _ANY, 60, "type", _R.TYPES),
    _F.ICMPV6: FieldSpec(16, _S.HEADER, "icmp", _ICMPV6, _F.ICMPV6, _C.NEVER, False, _ANY, 70, "type", _R.TYPES),
    _F.TCP_FLAGS: FieldSpec(
        8, _S.HEADER, "tcp_flags", _TCP, _F.TCP_FLAGS, _C.NEVER, False, _ANY, 50, "flags", _R.FLAGS),
    _F.CT_STATE: FieldSpec(3, _S.BESIDE, "", _EVERY, _F.CT_STATE, _C.TRACKING, False, _ANY, 0, "", _R.SILENT),
    _F.MARK: FieldSpec(32, _S.BESIDE, "mark", _EVERY, _F.MARK, _C.RULES, False, _ZERO, 40, "mark", _R.NUMBERS),
    _F.PACKET_TYPE: FieldSpec(
        3, _S.WORKED_OUT, "packet_type", _EVERY, _F.PACKET_TYPE, _C.WAY, False, _ANY, 0, "", _R.SILENT),
    _F.SRC_TYPE: FieldSpec(
        4, _S.WORKED_OUT, "src_type", _EVERY, _F.DST_TYPE, _C.WAY, False, _ANY, 0, "", _R.SILENT),
    _F.DST_TYPE: FieldSpec(
        4, _S.WORKED_OUT, "dst_type", _EVERY, _F.SRC_TYPE, _C.WAY, False, _ANY, 0, "", _R.SILENT),
    _F.FRAGMENT: FieldSpec(
        1, _S.WORKED_OUT, "fragment", _EVERY, _F.FRAGMENT, _C.NEVER, False, _ANY, 0, "", _R.SILENT),
    _F.LENGTH: FieldSpec(
        16, _S.HEADER, "length", _EVERY, _F.LENGTH, _C.NEVER, True, Intervals.of((100, 1280)), 10, "length",
        _R.NUMBERS),
    _F.TTL: FieldSpec(8, _S.HEADER, "ttl", _EVERY, _F.TTL, _C.HOP, True, Intervals.of(64), 20, "ttl", _R.NUMBERS),
    _F.DSCP: FieldSpec(6, _S.HEADER, "dscp", _EVERY, _F.DSCP, _C.RULES, True, _ZERO, 30, "dscp", _R.NUMBERS),
    _F.ECN: FieldSpec(2, _S.HEADER, "ecn", _EVERY, _F.ECN, _C.RULES, True, _ZERO, 35, "ecn", _R.NUMBERS),
}
# fmt: on

VARYING = frozenset(field for field, spec in FIELDS.items() if spec.varies)
"""Fields that differ between packets of one sender: a route may change, a program may ask for another class."""

DEVICES: dict[str, Field] = {"in": Field.IIF, "out": Field.OIF}
"""The field that a match on the incoming or the outgoing interface asks."""


def mirror(field: Field) -> Field:
    """The field of the answer in which the value of this one stands."""
    return FIELDS[field].mirror


@dataclass(frozen=True, slots=True)
class Masked:
    """Some bits of a field: `field & mask`."""

    field: Field
    mask: int


Key = Field | Masked
"""What packets are told by: a field, or some of its bits."""
Fields = Mapping[Key, Intervals]
"""Packets by the values of each key; one that is not named may have any."""


def mirrored(fields: Fields) -> dict[Key, Intervals]:
    """The same of the answers: each value in the field in which it stands there."""
    return {
        Masked(mirror(key.field), key.mask) if isinstance(key, Masked) else mirror(key): values
        for key, values in fields.items()
    }


def matched(told: Iterable[tuple[Key, Intervals]]) -> Iterator[tuple[Field, Intervals, int | None]]:
    """As field, values and mask; None where all bits count."""
    for key, values in told:
        yield (key.field, values, key.mask) if isinstance(key, Masked) else (key, values, None)


def full(field: Field) -> Intervals:
    """Every number that the field has bits for."""
    return Intervals.full(FIELDS[field].bits)
