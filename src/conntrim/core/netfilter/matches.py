"""Does a match hold for this packet? Yes, no, or None: not decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import assert_never

from conntrim.core.model.address_types import ADDRESS_TYPES, PACKET_TYPES, AddressType, PacketType
from conntrim.core.model.asks import BridgePorts, Connections, Rate, Visitors, WayBack, Wrapping
from conntrim.core.model.ct_match import CtIn
from conntrim.core.model.fields import DEVICES, FIELDS, Field, FieldSpec, Source
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import WITHOUT_ENTRY
from conntrim.core.model.ruleset import (
    AnyOf,
    Dialect,
    In,
    InSet,
    Interface,
    Key,
    Match,
    OpaqueMatch,
    Table,
    XtConntrack,
    asked_fields,
    asks_ipset,
)
from conntrim.core.netfilter import ct_expressions
from conntrim.core.netfilter.bridge_ports import physdev
from conntrim.core.netfilter.ct_expressions import blank
from conntrim.core.netfilter.memory import ANY_PORT
from conntrim.core.netfilter.reverse_path import way_back
from conntrim.core.netfilter.skb import Skb, Template, Tracked

Reader = Callable[[Skb], int | None]

UNKNOWN = -1
"""The packet has the field, but nobody said what is in it."""


def address_type(skb: Skb, address: int, ours: bool) -> AddressType:
    """The routing type of an address; `ours` says that it must be the host's where no address is known."""
    for kind, addresses in ADDRESS_TYPES:
        if address in addresses:
            return kind
    local = address in skb.kernel.local if skb.kernel.local else ours
    return AddressType.LOCAL if local else AddressType.UNICAST


def _carried(spec: FieldSpec) -> Reader:
    """What the packet itself holds; where it may lack that, nobody said."""
    read, ported = attrgetter(spec.attribute), spec.protocols

    def value(skb: Skb) -> int | None:
        packet = skb.packet
        if ported and (packet.fragment or packet.protocol not in ported):
            return None
        number: int | None = read(packet)
        return UNKNOWN if number is None and not ported else number

    return value


def _port(spec: FieldSpec) -> Reader:
    """A port; that of an answer to a translated packet may be one that the kernel picked."""
    carried = _carried(spec)

    def value(skb: Skb) -> int | None:
        number, entry = carried(skb), skb.entry
        return UNKNOWN if number == ANY_PORT and entry is not None and (entry.snat or entry.dnat) else number

    return value


def _packet_type(skb: Skb) -> int:
    packet = skb.packet
    if packet.packet_type is not None:
        return packet.packet_type
    found = (kind for kind, addresses in PACKET_TYPES if packet.iif and packet.dst in addresses)
    return next(found, PacketType.HOST)


def _passed_on(skb: Skb) -> bool:
    """Whether a packet comes by one interface and is to leave by another, and is not routed yet."""
    return bool(skb.packet.iif) and skb.packet.oif not in ("", "lo") and not skb.oif and not skb.kernel.local


def _src_type(skb: Skb) -> int:
    given = skb.packet.src_type
    return address_type(skb, skb.packet.src, not skb.packet.iif) if given is None else given


def _dst_type(skb: Skb) -> int:
    given = skb.packet.dst_type
    if given is None and skb.kernel.may_be_ours and _passed_on(skb):
        kind = address_type(skb, skb.packet.dst, ours=False)
        return UNKNOWN if kind is AddressType.UNICAST else kind
    return address_type(skb, skb.packet.dst, not skb.packet.oif) if given is None else given


SPECIAL: dict[Field, Reader] = {
    Field.SPORT: _port(FIELDS[Field.SPORT]),
    Field.DPORT: _port(FIELDS[Field.DPORT]),
    Field.CT_STATE: lambda skb: skb.state,
    Field.MARK: lambda skb: skb.packet.mark if skb.mark_known else UNKNOWN,
    Field.PACKET_TYPE: _packet_type,
    Field.SRC_TYPE: _src_type,
    Field.DST_TYPE: _dst_type,
}
"""Fields that are more than what the packet came with."""

NUMBERED = tuple(field for field, spec in FIELDS.items() if spec.source is not Source.DEVICE)

VALUES: dict[Field, Reader] = {field: SPECIAL.get(field) or _carried(FIELDS[field]) for field in NUMBERED}
"""How to read each field; None: this packet has no such field."""


def _in(match: In, skb: Skb) -> bool | None:
    value = VALUES[match.field](skb)
    if value is None:
        return False
    if value == UNKNOWN:
        either = match.field is Field.DST_TYPE and (AddressType.LOCAL in match.values) == (
            AddressType.UNICAST in match.values
        )
        return AddressType.LOCAL in match.values if either else None
    return (value if match.mask is None else value & match.mask) in match.values


def _interface(match: Interface, skb: Skb) -> bool | None:
    name = _device(DEVICES[match.way], skb)
    if name is None:
        return None
    hit = any(named(name, n) for n in match.names)
    return hit is not match.negated


def _xt_conntrack(match: XtConntrack, skb: Skb) -> bool | None:
    if match.states is not None:
        entry = skb.entry
        translated = entry is not None and ((match.snat and entry.snat) or (match.dnat and entry.dnat))
        hit = skb.state in match.states
        if not (hit and not translated if match.negated else hit or translated):
            return False
    if isinstance(skb.attached, Template):
        return _all_of(match.others, blank(skb.packet))
    if not isinstance(skb.attached, Tracked):
        return match.states is not None  # K21: every other option is ignored, and without states there is no match
    return _all_of(match.others, skb.attached)


def _all_of(asked: Iterable[CtIn], attached: Tracked) -> bool | None:
    answers = [ct_expressions.holds(each, attached) for each in asked]
    return False if False in answers else None if None in answers else True


def _ct(match: CtIn, skb: Skb, table: Table | None) -> bool | None:
    """K21, K23: never without an entry; nft passes templates by, iptables reads them."""
    if isinstance(skb.attached, Tracked):
        return ct_expressions.holds(match, skb.attached)
    nft = table is not None and table.dialect is Dialect.NFTABLES
    return isinstance(skb.attached, Template) and not nft and ct_expressions.holds(match, blank(skb.packet))


def _any_of(match: AnyOf, skb: Skb) -> bool | None:
    answers = [_in(alternative, skb) for alternative in match.alternatives]
    return True if True in answers else None if None in answers else False


def _in_set(match: InSet, skb: Skb, table: Table | None) -> bool | None:
    found = table.set(match.set_name) if table else None
    if table is None or found is None or not found.known:
        return None
    if found.dynamic:
        skb.answers.listed[found.name] = None
    values = [_part(part, skb) for part in match.fields]
    if None in values and asks_ipset(match, table):
        return match.negated  # what lacks a port is in no ipset (K50)
    if None in values:  # nft asks for the protocol first, or it is a part of the elements
        if Field.PROTOCOL not in match.fields or skb.packet.fragment:
            return False
        values = [UNKNOWN if value is None else value for value in values]
    answers = [_element(element, values) for element in found.elements]
    answers += [added == tuple(values) for name, added in skb.added if name == named_in(table, found.name)]
    hit = True if True in answers else None if None in answers else False
    return hit if hit is None else hit is not match.negated


def named_in(table: Table, name: str) -> str:
    """A set's name beyond its table; ipsets are everybody's."""
    if table.dialect is not Dialect.NFTABLES and not name.startswith("__set"):
        return f"ipset {name}"
    return f"{table.dialect} {table.family} {table.name} {name}"


def element_of(fields: Iterable[Field | str], skb: Skb) -> tuple[int | str, ...] | None:
    """What the packet has of these fields; None where it lacks one, or nobody knows it."""
    values = [_part(part, skb) for part in fields]
    known = tuple(value for value in values if value is not None and value != UNKNOWN)
    return known if len(known) == len(values) else None


def _device(field: Field, skb: Skb) -> str | None:
    """The name of an interface; None where the hook does not know it."""
    return skb.iif if field is Field.IIF else skb.oif


def _part(part: Field | str, skb: Skb) -> int | str | None:
    """What the packet has to compare with one part of a set's elements: a number, or an interface's name."""
    if not isinstance(part, Field):
        return UNKNOWN
    if part in VALUES:
        return VALUES[part](skb)
    name = _device(part, skb)
    return UNKNOWN if name is None else name


def _element(element: tuple[Key, ...], values: list[int | str | None]) -> bool | None:
    if len(element) != len(values):
        return False
    answers = [_key(key, value) for key, value in zip(element, values, strict=True)]
    return False if False in answers else None if None in answers else True


def _key(key: Key, value: int | str | None) -> bool | None:
    if value == UNKNOWN:
        return None
    if isinstance(key, Intervals):
        return isinstance(value, int) and value in key
    return isinstance(value, str) and any(named(value, name) for name in key)


def named(interface: str, name: str) -> bool:
    """Whether an interface is the one that a rule names; a trailing `*` is a wildcard."""
    return interface.startswith(name[:-1]) if name.endswith("*") else interface == name


def _opaque(match: OpaqueMatch, skb: Skb) -> bool | None:
    match match.asks:
        case BridgePorts():
            return physdev(match.asks, skb)
        case WayBack():
            return way_back(match.asks, skb)
        case Rate() | Visitors() | Connections() | Wrapping() | None:
            pass
        case _:
            assert_never(match.asks)
    if isinstance(skb.attached, Tracked) or (isinstance(skb.attached, Template) and not match.kind.startswith("ct ")):
        return None
    yes = WITHOUT_ENTRY.get(match.kind.split()[0]) if match.kind else None
    return None if yes is None else yes and match.negated


def payload_readers(match: Match, table: Table | None) -> frozenset[int]:
    """K122: the protocols in whose later fragments a match takes what they carry for their header; what that is nobody
    said. Only nft does."""
    if table is None or table.dialect is not Dialect.NFTABLES:
        return frozenset()
    fields = [field for field in asked_fields(match) if field not in DEVICES.values()]
    return frozenset[int]().union(*(FIELDS[field].protocols for field in fields))


def holds(match: Match, skb: Skb, table: Table | None) -> bool | None:
    """Whether one match of a rule in `table` holds."""
    if skb.packet.fragment and skb.packet.protocol in payload_readers(match, table):
        return None
    match match:
        case In():
            return _in(match, skb)
        case Interface():
            return _interface(match, skb)
        case XtConntrack():
            return _xt_conntrack(match, skb)
        case InSet():
            return _in_set(match, skb, table)
        case AnyOf():
            return _any_of(match, skb)
        case CtIn():
            return _ct(match, skb, table)
        case OpaqueMatch():
            return _opaque(match, skb)
        case _:
            assert_never(match)


def about_state(match: Match) -> bool:
    """Whether the match asks for the conntrack state."""
    return Field.CT_STATE in asked_fields(match)
