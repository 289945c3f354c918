"""Does a match hold for this packet? Yes, no, or None: not decided."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import assert_never

from conntrim.core.model.address import V4_ALL, Family, parse_prefix
from conntrim.core.model.address_types import ADDRESS_TYPES, PACKET_TYPES, AddressType, PacketType
from conntrim.core.model.conntrack import CtState, Status
from conntrim.core.model.fields import DEVICES, FIELDS, Field, FieldSpec, Source
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import WITHOUT_ENTRY
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import NUMBERS
from conntrim.core.model.ruleset import (
    AnyOf,
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
from conntrim.core.netfilter.ct_expressions import Asked, asked
from conntrim.core.netfilter.memory import ANY_PORT, Entry, Tuple
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


def _src_type(skb: Skb) -> int:
    told = skb.packet.src_type
    return address_type(skb, skb.packet.src, not skb.packet.iif) if told is None else told


def _dst_type(skb: Skb) -> int:
    told = skb.packet.dst_type
    return address_type(skb, skb.packet.dst, not skb.packet.oif) if told is None else told


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
        return None
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
        return _options(match.others.split(), _blank(skb.packet)) if match.others else True
    if not isinstance(skb.attached, Tracked):
        return match.states is not None  # K21: every other option is ignored, and without states there is no match
    return _options(match.others.split(), skb.attached) if match.others else True


def _blank(packet: Packet) -> Tracked:
    """A template (K10) as the options see it: an entry of the original direction with nothing but zeros in it."""
    nobody = V4_ALL[0] if packet.family is Family.IPV4 else 0
    return Tracked(Entry(Tuple(0, nobody, nobody), Tuple(0, nobody, nobody)), CtState.NEW, False, confirmed=True)


def _span(text: str) -> Intervals:
    low, _, high = text.partition(":")
    return Intervals.of((int(low), int(high or low)))


def _status(ct: Tracked, value: str) -> bool | None:
    bits = sum(XT_STATUS[name] for name in value.split(","))
    return Asked("status", Intervals.of(0), bits, negated=True).holds(ct)


XT_STATUS: dict[str, int] = {
    "NONE": 0, "EXPECTED": Status.EXPECTED, "SEEN_REPLY": Status.SEEN_REPLY, "ASSURED": Status.ASSURED,
    "CONFIRMED": Status.CONFIRMED,
}  # fmt: skip
"""`--ctstatus`: any of these bits."""

OPTIONS: dict[str, Callable[[Tracked, str], bool | None]] = {
    "--ctstatus": _status,
    "--ctdir": lambda ct, value: ct.reply is (value.upper() == "REPLY"),
    "--ctproto": lambda ct, value: str(ct.entry.original.protocol) == str(NUMBERS.get(value, value)),
    "--ctorigsrc": lambda ct, value: ct.entry.original.src in Intervals.of(parse_prefix(value)),
    "--ctorigdst": lambda ct, value: ct.entry.original.dst in Intervals.of(parse_prefix(value)),
    "--ctreplsrc": lambda ct, value: ct.entry.reply.src in Intervals.of(parse_prefix(value)),
    "--ctrepldst": lambda ct, value: ct.entry.reply.dst in Intervals.of(parse_prefix(value)),
    "--ctorigsrcport": lambda ct, value: ct.entry.original.sport in _span(value),
    "--ctorigdstport": lambda ct, value: ct.entry.original.dport in _span(value),
    "--ctreplsrcport": lambda ct, value: ct.entry.reply.sport in _span(value),
    "--ctrepldstport": lambda ct, value: ct.entry.reply.dport in _span(value),
}
"""The options of `-m conntrack` beside `--ctstate` that can be answered from the entry."""


def _answer(word: str, ct: Tracked, value: str) -> bool | None:
    """None for what is not read here: another option, a service's name, a mask with holes."""
    try:
        return OPTIONS[word](ct, value) if word in OPTIONS else None
    except (KeyError, ValueError):
        return None


def _options(words: list[str], ct: Tracked) -> bool | None:
    decided: bool | None = True
    negated = False
    for word, value in zip(words, [*words[1:], ""], strict=True):
        if word == "!":
            negated = True
        elif word.startswith("--"):
            answer = _answer(word, ct, value)
            hit = None if answer is None else answer is not negated
            if hit is False:
                return False
            decided, negated = (decided if hit else None), False
    return decided


def _any_of(match: AnyOf, skb: Skb) -> bool | None:
    answers = [_in(alternative, skb) for alternative in match.alternatives]
    return True if True in answers else None if None in answers else False


def _in_set(match: InSet, skb: Skb, table: Table | None) -> bool | None:
    found = table.set(match.set_name) if table else None
    if found is None or not found.known or found.dynamic:
        return None
    values = [_part(part, skb) for part in match.fields]
    if None in values:  # what lacks a port is in no ipset (K50); nft asks for the protocol first
        return match.negated and asks_ipset(match, table)
    if UNKNOWN in values:
        return None
    return any(_element(element, values) for element in found.elements) is not match.negated


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


def _element(element: tuple[Key, ...], values: list[int | str | None]) -> bool:
    return len(element) == len(values) and all(_key(key, value) for key, value in zip(element, values, strict=True))


def _key(key: Key, value: int | str | None) -> bool:
    if isinstance(key, Intervals):
        return isinstance(value, int) and value in key
    return isinstance(value, str) and any(named(value, name) for name in key)


def named(interface: str, name: str) -> bool:
    """Whether an interface is the one that a rule names; a trailing `*` is a wildcard."""
    return interface.startswith(name[:-1]) if name.endswith("*") else interface == name


def _opaque(match: OpaqueMatch, skb: Skb) -> bool | None:
    if isinstance(skb.attached, Tracked):
        question = asked(match)
        return question.holds(skb.attached) if question else None
    if isinstance(skb.attached, Template) and not match.kind.startswith("ct "):  # K23: nft passes templates by
        question = asked(match)
        return question.fits(0) if question else None
    yes = WITHOUT_ENTRY.get(match.kind.split()[0]) if match.kind else None
    return None if yes is None else yes and "!" in match.text.split()


def holds(match: Match, skb: Skb, table: Table | None) -> bool | None:
    """Whether one match of a rule in `table` holds."""
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
        case OpaqueMatch():
            return _opaque(match, skb)
        case _:
            assert_never(match)


def about_state(match: Match) -> bool:
    """Whether the match asks for the conntrack state."""
    return Field.CT_STATE in asked_fields(match)
