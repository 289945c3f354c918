"""One packet's bits as z3 variables, and what a rule's matches say of them: the half of peer_z3.py below the chains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import z3

from conntrim.core.model.address import MAPPED, V4_ALL, Family, parse_address, parse_prefix
from conntrim.core.model.conntrack import CtState, Status
from conntrim.core.model.ct_match import CtIn, CtKey, any_of
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.ruleset import (
    AnyOf,
    Dialect,
    In,
    InSet,
    Interface,
    Match,
    OpaqueMatch,
    Ruleset,
    Table,
    XtConntrack,
)
from conntrim.core.model.service import Direction

WIDTHS = {
    Field.PROTOCOL: 8, Field.SPORT: 16, Field.DPORT: 16, Field.TCP_FLAGS: 8, Field.ICMP: 16, Field.ICMPV6: 16,
    Field.LENGTH: 16, Field.TTL: 8, Field.DSCP: 6, Field.ECN: 2,
}  # fmt: skip
LOOPBACK = Intervals.of(parse_prefix("127.0.0.0/8"), parse_prefix("::1/128"))
MULTICAST = Intervals.of(parse_prefix("224.0.0.0/4"), parse_prefix("ff00::/8"))
BROADCAST = Intervals.of(parse_address("255.255.255.255"), parse_address("0.0.0.0"))  # noqa: S104 - no socket
UNICAST, LOCAL, BROADCAST_TYPE, MULTICAST_TYPE = 1, 2, 3, 5

ASKS_DNAT = any_of(Status.DST_NAT), any_of(Status.DST_NAT, negated=True)
"""`ct status dnat`, and that it is not."""

UNANSWERED = Status.SEEN_REPLY | Status.ASSURED | Status.EXPECTED
"""What no packet that is NEW finds set in its entry."""

ENTRY_ONLY = ("ct", "connmark", "connbytes", "cluster")
"""Matches that never hold for a packet without an entry, negated or not."""


def either(parts: Iterable[z3.BoolRef]) -> z3.BoolRef:
    """Their disjunction, without those that are plainly false."""
    found = [p for p in parts if not z3.is_false(p)]
    return z3.BoolVal(False) if not found else found[0] if len(found) == 1 else z3.Or(*found)


def within(number: z3.BitVecRef, values: Intervals) -> z3.BoolRef:
    """The number is one of these; aligned blocks are told by their leading bits."""
    wide = number.size()
    parts = []
    for low, high in values.ranges:
        free = (low ^ high).bit_length()
        if low > (1 << wide) - 1:
            continue
        if free and low & ((1 << free) - 1) == 0 and high & ((1 << free) - 1) == (1 << free) - 1:
            parts.append(z3.BoolVal(True) if free >= wide else z3.Extract(wide - 1, free, number) == low >> free)
        elif low == high:
            parts.append(number == low)
        else:
            parts.append(z3.And(z3.UGE(number, low), z3.ULE(number, min(high, (1 << wide) - 1))))
    return either(parts)


def _names(rulesets: Iterable[Ruleset]) -> tuple[str, ...]:
    """No interface, `lo`, those that rules name, one for each wildcard, and one that no rule names."""
    wanted = {n for r in rulesets for t in r.tables for n in _named(t)}
    plain = {n for n in wanted if not n.endswith("*")} | {"lo"}
    return ("", *sorted(plain - {""}), *sorted(f"{n[:-1]}~" for n in wanted if n.endswith("*")), "~~")


def _named(table: Table) -> Iterator[str]:
    for chain in table.chains:
        for rule in chain.rules:
            for match in rule.matches:
                yield from match.names if isinstance(match, Interface) else ()
        yield from chain.base.devices if chain.base else ()
    for named in table.sets:
        for element in named.elements:
            for key in element:
                yield from key if isinstance(key, tuple) else ()


def _called(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


@dataclass(frozen=True, slots=True)
class Ends:
    """Where packets that enter a chain end."""

    accepted: z3.BoolRef
    dropped: z3.BoolRef
    left: z3.BoolRef


@dataclass(slots=True)
class Way:
    """What is attached to the packet at this point: its ct state and mark, as formulas; what the hook knows.

    `moved` are the packets that a nat chain of this hook has translated; `direct` the first packets that came by all
    that translates destinations untaken.
    """

    state: z3.BitVecRef
    mark: z3.BitVecRef
    direction: Direction
    has_in: bool = True
    has_out: bool = False
    early: bool = True
    hops: int = 0
    ends: dict[tuple[int, str], Ends] = field(default_factory=dict)
    moved: list[z3.BoolRef] = field(default_factory=list)
    direct: z3.BoolRef | None = None

    def becomes(self, state: z3.BitVecRef) -> None:
        """The ct state is another one: what chains do depends on it."""
        self.state, self.ends = state, {}


class Bits:
    """One family's packets as z3 variables.

    `state` is the ct state that conntrack gives; `local` are the host's addresses, empty where nobody told.
    """

    def __init__(self, family: Family, rulesets: Iterable[Ruleset], local: Intervals = Intervals()) -> None:
        self.family, self.local, self.names = family, local, _names(rulesets)
        wide = 32 if family is Family.IPV4 else 128
        self.fields: dict[Field, z3.BitVecRef] = {f: z3.BitVec(str(f), bits) for f, bits in WIDTHS.items()}
        self.fields |= {f: z3.BitVec(str(f), wide) for f in (Field.SRC, Field.DST)}
        self.iif, self.oif = z3.BitVec("iif", 16), z3.BitVec("oif", 16)
        self.state, self.mark = z3.BitVec("ct_state", 3), z3.BitVec("mark", 32)
        self.free: dict[str, z3.BoolRef] = {}
        self.made: dict[tuple[Field, Intervals, int | None], z3.BoolRef] = {}

    def packets(self, direction: Direction) -> z3.BoolRef:
        """All packets of a direction that exist."""
        src, dst = self.fields[Field.SRC], self.fields[Field.DST]
        lo = self.names.index("lo")
        last = len(self.names) - 1
        some = [z3.And(z3.ULE(i, last), i != 0, i != lo) for i in (self.iif, self.oif)]
        none = [self.iif == 0, self.oif == 0]
        comes, goes = direction is not Direction.OUTBOUND, direction is not Direction.INBOUND
        odd = Protocol.ICMPV6 if self.family is Family.IPV4 else Protocol.ICMP
        return z3.And(
            some[0] if comes else none[0], some[1] if goes else none[1], z3.ULE(self.state, max(CtState)),
            self.fields[Field.PROTOCOL] != odd, z3.Not(self._address(src, LOOPBACK | MULTICAST | BROADCAST)),
            z3.Not(self._address(dst, LOOPBACK)), self._ends_of(direction, src, dst), *self._unmapped(src, dst),
        )  # fmt: skip

    def _unmapped(self, *addresses: z3.BitVecRef) -> Iterator[z3.BoolRef]:
        """The model writes IPv4 addresses as IPv6 ones: no IPv6 packet carries those."""
        if self.family is Family.IPV6:
            yield from (z3.Not(within(address, Intervals.of(V4_ALL))) for address in addresses)

    def _ends_of(self, direction: Direction, src: z3.BitVecRef, dst: z3.BitVecRef) -> z3.BoolRef:
        if not self.local:
            return z3.BoolVal(True)
        ours, to_us = self._address(src, self.local), self._address(dst, self.local)
        group = self._address(dst, MULTICAST | BROADCAST)
        return {
            Direction.INBOUND: z3.And(z3.Or(to_us, group), z3.Not(ours)),
            Direction.OUTBOUND: z3.And(ours, z3.Not(to_us)),
            Direction.FORWARDED: z3.And(z3.Not(ours), z3.Not(to_us)),
        }[direction]

    def existing(self, direction: Direction) -> z3.BoolRef:
        """As long as their headers; to be forwarded, with a hop left."""
        long = {Protocol.TCP: 20, Protocol.SCTP: 12, Protocol.DCCP: 12} | dict.fromkeys(
            (Protocol.UDP, Protocol.UDPLITE, Protocol.ICMP, Protocol.ICMPV6), 8
        )
        head = 20 if self.family is Family.IPV4 else 40
        protocol, length = self.fields[Field.PROTOCOL], self.fields[Field.LENGTH]
        whole = [z3.Implies(protocol == int(p), z3.UGE(length, head + size)) for p, size in long.items()]
        hops = z3.UGE(self.fields[Field.TTL], 2) if direction is Direction.FORWARDED else z3.BoolVal(True)
        return z3.And(hops, z3.UGE(length, head), *whole)

    def fresh(self, loose: bool = True) -> z3.BitVecRef:
        """The ct state of a packet that belongs to no connection."""
        protocol, flags = self.fields[Field.PROTOCOL], self.fields[Field.TCP_FLAGS]
        kind = z3.Extract(15, 8, self.fields[Field.ICMP if self.family is Family.IPV4 else Field.ICMPV6])
        new, invalid, free = (z3.BitVecVal(s, 3) for s in (CtState.NEW, CtState.INVALID, CtState.UNTRACKED))
        looked = flags & 0x37  # PSH, ECE and CWR are not looked at
        opens = [0x02, 0x22, *((0x10, 0x30) if loose else ())]
        tcp = z3.If(z3.Or(*(looked == f for f in opens)), new, invalid)
        if self.family is Family.IPV4:
            queries = z3.If(z3.Or(*(kind == t for t in (8, 13, 15, 17))), new, invalid)
            icmp = protocol == Protocol.ICMP
        else:
            queries = z3.If(z3.Or(kind == 128, kind == 139), new, invalid)
            queries = z3.If(z3.Or(z3.And(z3.UGE(kind, 130), z3.ULE(kind, 136)), kind == 143), free, queries)
            icmp = protocol == Protocol.ICMPV6
        sctp = z3.If(self.unknown("an SCTP chunk that may open an association"), new, invalid)
        rest = z3.If(protocol == Protocol.SCTP, sctp, new)
        return z3.If(protocol == Protocol.TCP, tcp, z3.If(icmp, queries, rest))

    def unknown(self, text: str) -> z3.BoolRef:
        """What the model cannot know: one variable for each text."""
        return self.free.setdefault(text, z3.Bool(f"? {text}"))

    def holding(self, packet: Packet) -> z3.BoolRef:
        """The packet is this one, whatever its ct state."""
        codes = [next((i for i, n in enumerate(self.names) if n == name), len(self.names) - 1)
                 for name in (packet.iif, packet.oif)]  # fmt: skip
        numbers = {
            Field.PROTOCOL: packet.protocol, Field.SRC: self._own(packet.src), Field.DST: self._own(packet.dst),
            Field.SPORT: packet.sport or 0, Field.DPORT: packet.dport or 0, Field.TCP_FLAGS: packet.tcp_flags or 0,
            Field.ICMP: packet.icmp or 0, Field.ICMPV6: packet.icmp or 0, Field.LENGTH: packet.length or 0,
            Field.TTL: packet.ttl or 0, Field.DSCP: packet.dscp or 0,
            Field.ECN: packet.ecn or 0,
        }  # fmt: skip
        same = [self.fields[f] == n for f, n in numbers.items()]
        return z3.And(*same, self.iif == codes[0], self.oif == codes[1], self.mark == packet.mark)

    # --- matches --------------------------------------------------------------------------------------------------

    def _match(self, match: Match, table: Table, way: Way) -> z3.BoolRef:
        match match:
            case In():
                return self._in(match.field, match.values, match.mask, way)
            case Interface():
                return self._interface(match.way, match.names, way) != match.negated
            case XtConntrack():
                return self._conntrack(match, way)
            case AnyOf():
                return z3.Or(*(self._in(m.field, m.values, m.mask, way) for m in match.alternatives))
            case InSet():
                return self._in_set(match, table, way)
            case CtIn():
                return z3.And(z3.Not(bare(way)), self._of_entry(match, way))
            case OpaqueMatch():
                answer = self.unknown(f"{match.kind}: {match.text}")
                kind = match.kind.split()[0] if match.kind else ""
                return z3.And(z3.Not(bare(way)), answer) if kind in ENTRY_ONLY else answer

    def _in(self, name: Field, values: Intervals, mask: int | None, way: Way) -> z3.BoolRef:
        if special := SPECIAL.get(name):
            return special(self, name, values, mask, way)
        key = name, values, mask
        if key not in self.made:
            self.made[key] = self._plain(name, values, mask)
        return self.made[key]

    def _plain(self, name: Field, values: Intervals, mask: int | None) -> z3.BoolRef:
        number = self.fields[name]
        if name in (Field.SRC, Field.DST):
            return self._address(number, values)
        found = within(number if mask is None else number & mask, values)
        needs = NEEDS.get(name)
        return found if needs is None else z3.And(found, within(self.fields[Field.PROTOCOL], needs))

    def _own(self, address: int) -> int:
        return address - MAPPED if self.family is Family.IPV4 else address

    def _address(self, number: z3.BitVecRef, values: Intervals) -> z3.BoolRef:
        if self.family is Family.IPV6:
            return within(number, values)
        some = values & Intervals.of(V4_ALL)
        return within(number, Intervals.of(*((a - MAPPED, b - MAPPED) for a, b in some.ranges)))

    def _interface(self, way: str, names: Iterable[str], at: Way) -> z3.BoolRef:
        wanted = tuple(names)
        codes = [i for i, n in enumerate(self.names) if any(_called(n, w) for w in wanted)]
        if not (at.has_in if way == "in" else at.has_out):
            return z3.BoolVal(0 in codes)
        return either((self.iif if way == "in" else self.oif) == code for code in codes)

    def _of_first(self, match: CtIn, way: Way) -> z3.BoolRef | None:
        """What the entry of a NEW packet says: it is the packet's own, and nobody has answered it (K107)."""
        if way.early:
            return None
        found: z3.BoolRef | None = None
        match match.key:
            case CtKey.DIRECTION:
                found = z3.BoolVal(0 in match.values)
            case CtKey.STATUS if match.mask is not None and match.mask | UNANSWERED == UNANSWERED:
                found = z3.BoolVal(0 in match.values)
            case CtKey.STATUS if match.mask is None and all(a == b and a & UNANSWERED for a, b in match.values.ranges):
                found = z3.BoolVal(False)
            case CtKey.PROTOCOL:
                found = within(self.fields[Field.PROTOCOL], match.values)
            case CtKey.SRC | CtKey.DST if match.way != "reply":
                found = self._address(self.fields[Field.SRC if match.key is CtKey.SRC else Field.DST], match.values)
            case _:
                return None
        return z3.Not(found) if match.negated else found

    def _of_new(self, asked: tuple[CtIn, ...], said: z3.BoolRef, way: Way) -> z3.BoolRef:
        """`said`, but of NEW packets what their own entries say to all that is asked."""
        told = [self._of_first(each, way) for each in asked]
        known = z3.And(*(each for each in told if each is not None))
        first = z3.And(said, known) if None in told else known
        return z3.If(way.state == CtState.NEW, first, said)

    def _of_entry(self, match: CtIn, way: Way) -> z3.BoolRef:
        """What the entry says; of first packets that came by all that translates destinations, that it is not DNAT."""
        said = self._of_new((match,), self.unknown(str(match)), way)
        if way.direct is None or match not in ASKS_DNAT:
            return said
        return z3.And(said, z3.Not(way.direct)) if match.negated else z3.Or(said, way.direct)

    def _conntrack(self, match: XtConntrack, way: Way) -> z3.BoolRef:
        entryless = bare(way)
        others = z3.BoolVal(True)
        if match.others:
            others = self._of_new(match.others, self.unknown(f"conntrack {match.others}"), way)
        if match.states is None:
            return z3.And(z3.Not(entryless), others)
        found = within(way.state, match.states)
        for name, asked in (("SNAT", match.snat), ("DNAT", match.dnat)):
            if asked:
                moved = z3.And(z3.Not(entryless), self.unknown(f"--ctstate {name}"))
                if name == "DNAT" and way.direct is not None:
                    moved = z3.And(moved, z3.Not(way.direct))
                found = z3.And(found, z3.Not(moved)) if match.negated else z3.Or(found, moved)
        return z3.And(found, z3.Or(entryless, others))

    def _in_set(self, match: InSet, table: Table, way: Way) -> z3.BoolRef:
        named = table.set(match.set_name)
        readable = all(isinstance(f, Field) or f in ("iif", "oif") for f in match.fields)
        has = [self._in(f, Intervals.of((0, (1 << 128) - 1)), None, way) for f in match.fields if isinstance(f, Field)]
        if named is None or not named.known or named.dynamic or not readable:
            fields = " ".join(str(f) for f in match.fields)
            found = self.unknown(f"{fields} is in the set {match.set_name}")
        else:
            found = z3.Or(*(
                z3.And(*(self._part(f, k, way) for f, k in zip(match.fields, element, strict=False)))
                for element in named.elements
            ))  # fmt: skip
        if match.negated and table.dialect is not Dialect.NFTABLES:  # a packet without ports is in no such ipset (K50)
            return z3.Not(z3.And(*has, found))
        return z3.And(*has, z3.Not(found) if match.negated else found)

    def _part(self, name: Field | str, key: Intervals | tuple[str, ...], way: Way) -> z3.BoolRef:
        if isinstance(key, Intervals):
            return self._in(Field(name), key, None, way)
        return self._interface("in" if name == "iif" else "out", key, way)

    def address_type(self, name: Field, wanted: Intervals, mask: int | None, way: Way) -> z3.BoolRef:
        """`addrtype`: by address alone, and by direction where no address of the host's is known."""
        number = self.fields[Field.SRC if name is Field.SRC_TYPE else Field.DST]
        end = Direction.OUTBOUND if name is Field.SRC_TYPE else Direction.INBOUND
        many, everyone = self._address(number, MULTICAST), self._address(number, BROADCAST)
        ours = self._address(number, self.local) if self.local else z3.BoolVal(way.direction is end)
        ours = z3.Or(ours, self._address(number, LOOPBACK))
        kind = z3.If(many, MULTICAST_TYPE, z3.If(everyone, BROADCAST_TYPE, z3.If(ours, LOCAL, UNICAST)))
        return z3.Or(*(kind == k for k in (MULTICAST_TYPE, BROADCAST_TYPE, LOCAL, UNICAST) if k in wanted))

    def packet_type(self, name: Field, wanted: Intervals, mask: int | None, way: Way) -> z3.BoolRef:
        """To a group, to all, or to this host; what the host sends is never the former."""
        number = self.fields[Field.DST]
        many, everyone = self._address(number, MULTICAST), self._address(number, BROADCAST)
        kind = z3.If(many, 2, z3.If(everyone, 1, 0)) if way.direction is not Direction.OUTBOUND else z3.IntVal(0)
        return z3.Or(*(kind == k for k in range(3) if k in wanted))


SPECIAL: dict[Field, Callable[[Bits, Field, Intervals, int | None, Way], z3.BoolRef]] = {
    Field.FAMILY: lambda bits, name, values, mask, way: z3.BoolVal(bits.family in values),
    Field.FRAGMENT: lambda bits, name, values, mask, way: z3.BoolVal(0 in values),
    Field.CT_STATE: lambda bits, name, values, mask, way: within(way.state, values),
    Field.MARK: lambda bits, name, values, mask, way: within(way.mark if mask is None else way.mark & mask, values),
    Field.TTL: lambda bits, name, values, mask, way: within(bits.fields[name] - way.hops, values),
    Field.SRC_TYPE: Bits.address_type, Field.DST_TYPE: Bits.address_type, Field.PACKET_TYPE: Bits.packet_type,
}  # fmt: skip
NEEDS: dict[Field, Intervals] = {
    Field.SPORT: Intervals.of(*map(int, WITH_PORTS)), Field.DPORT: Intervals.of(*map(int, WITH_PORTS)),
    Field.TCP_FLAGS: Intervals.of(Protocol.TCP), Field.ICMP: Intervals.of(Protocol.ICMP),
    Field.ICMPV6: Intervals.of(Protocol.ICMPV6),
}  # fmt: skip
"""The protocols whose packets have the field."""


def bare(way: Way) -> z3.BoolRef:
    """A packet without an entry."""
    return z3.Or(way.state == CtState.INVALID, way.state == CtState.UNTRACKED)
