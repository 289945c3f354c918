"""Does a match hold for this packet? Yes, no, or None: not decided."""

from __future__ import annotations

from collections.abc import Callable

from conntrim.core.model.address import V4_ALL, Family, parse_address, parse_prefix
from conntrim.core.model.conntrack import CtState, Status
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import WITHOUT_ENTRY
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import NUMBERS, WITH_PORTS, Protocol
from conntrim.core.model.ruleset import (
    AnyOf,
    Field,
    In,
    InSet,
    Interface,
    Key,
    Match,
    OpaqueMatch,
    Table,
    XtConntrack,
    asks_ipset,
)
from conntrim.core.netfilter.ct_expressions import Asked, asked
from conntrim.core.netfilter.memory import ANY_PORT, Entry, Tuple
from conntrim.core.netfilter.skb import Skb, Template, Tracked

UNKNOWN = -1
"""The packet has the field, but nobody said what is in it."""

LOOPBACK = Intervals.of(parse_prefix("127.0.0.0/8"), parse_prefix("::1/128"))
MULTICAST = Intervals.of(parse_prefix("224.0.0.0/4"), parse_prefix("ff00::/8"))
BROADCAST = Intervals.of(parse_address("255.255.255.255"), parse_address("0.0.0.0"))  # noqa: S104 - no socket

RTN_UNICAST, RTN_LOCAL, RTN_BROADCAST, RTN_MULTICAST = 1, 2, 3, 5
PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST = 0, 1, 2


def address_type(skb: Skb, address: int, ours: bool) -> int:
    """RTN_*: the routing type of an address; `ours` says that it must be the host's where no address is known."""
    if address in MULTICAST:
        return RTN_MULTICAST
    if address in BROADCAST:
        return RTN_BROADCAST
    local = address in skb.kernel.local if skb.kernel.local else ours
    return RTN_LOCAL if local or address in LOOPBACK else RTN_UNICAST


def _port(number: int | None, skb: Skb) -> int | None:
    if skb.packet.fragment or skb.packet.protocol not in WITH_PORTS:
        return None
    return UNKNOWN if number == ANY_PORT and skb.entry is not None and (skb.entry.snat or skb.entry.dnat) else number


def _told(number: int | None) -> int:
    return UNKNOWN if number is None else number


def _packet_type(skb: Skb) -> int:
    if skb.packet.packet_type is not None:
        return skb.packet.packet_type
    if not skb.packet.iif or skb.packet.dst not in MULTICAST | BROADCAST:
        return PACKET_HOST
    return PACKET_MULTICAST if skb.packet.dst in MULTICAST else PACKET_BROADCAST


def _src_type(skb: Skb) -> int:
    told = skb.packet.src_type
    return address_type(skb, skb.packet.src, not skb.packet.iif) if told is None else told


def _dst_type(skb: Skb) -> int:
    told = skb.packet.dst_type
    return address_type(skb, skb.packet.dst, not skb.packet.oif) if told is None else told


VALUES: dict[Field, Callable[[Skb], int | None]] = {
    Field.FAMILY: lambda skb: skb.packet.family,
    Field.PROTOCOL: lambda skb: skb.packet.protocol,
    Field.SRC: lambda skb: skb.packet.src,
    Field.DST: lambda skb: skb.packet.dst,
    Field.SPORT: lambda skb: _port(skb.packet.sport, skb),
    Field.DPORT: lambda skb: _port(skb.packet.dport, skb),
    Field.TCP_FLAGS: lambda skb: (
        skb.packet.tcp_flags if skb.packet.protocol == Protocol.TCP and not skb.packet.fragment else None
    ),
    Field.ICMP: lambda skb: (
        skb.packet.icmp if skb.packet.protocol == Protocol.ICMP and not skb.packet.fragment else None
    ),
    Field.ICMPV6: lambda skb: (
        skb.packet.icmp if skb.packet.protocol == Protocol.ICMPV6 and not skb.packet.fragment else None
    ),
    Field.CT_STATE: lambda skb: skb.state,
    Field.MARK: lambda skb: skb.packet.mark if skb.mark_known else UNKNOWN,
    Field.PACKET_TYPE: _packet_type,
    Field.SRC_TYPE: _src_type,
    Field.DST_TYPE: _dst_type,
    Field.FRAGMENT: lambda skb: int(skb.packet.fragment),
    Field.LENGTH: lambda skb: _told(skb.packet.length),
    Field.TTL: lambda skb: _told(skb.packet.ttl),
    Field.DSCP: lambda skb: _told(skb.packet.dscp),
}
"""How to read each field; None: this packet has no such field."""


def _in(match: In, skb: Skb) -> bool | None:
    value = VALUES[match.field](skb)
    if value is None:
        return False
    if value == UNKNOWN:
        return None
    return (value if match.mask is None else value & match.mask) in match.values


def _interface(match: Interface, skb: Skb) -> bool | None:
    name = skb.iif if match.way == "in" else skb.oif
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


def _part(part: Field | str, skb: Skb) -> int | str | None:
    """What the packet has to compare with one part of a set's elements: a number, or an interface's name."""
    if isinstance(part, Field):
        return VALUES[part](skb)
    name = {"iif": skb.iif, "oif": skb.oif}.get(part)
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
    if isinstance(match, In):
        return _in(match, skb)
    if isinstance(match, Interface):
        return _interface(match, skb)
    if isinstance(match, XtConntrack):
        return _xt_conntrack(match, skb)
    if isinstance(match, InSet):
        return _in_set(match, skb, table)
    return _any_of(match, skb) if isinstance(match, AnyOf) else _opaque(match, skb)


def about_state(match: Match) -> bool:
    """Whether the match asks for the conntrack state."""
    return isinstance(match, XtConntrack) or (isinstance(match, In) and match.field is Field.CT_STATE)
