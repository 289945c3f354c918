"""A set of packets as a few boxes: for each property the values it may have, any combination of them allowed.

A box grows from one packet: first every property that does not matter is freed, then the others take as many values
as stay inside the set. Boxes may overlap; together they never leave the set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice

from conntrim.core.model.address import Family, parse_address, parse_prefix
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.ruleset import Field, TcpFlag
from conntrim.core.netfilter.matches import BROADCAST, MULTICAST
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.packet_vars import IIF, OIF, Key, PacketVars

FREED: tuple[Key, ...] = (
    Field.LENGTH, Field.TTL, Field.DSCP, Field.MARK, Field.TCP_FLAGS, Field.ICMP, Field.ICMPV6, IIF, OIF, Field.SRC,
    Field.DST, Field.SPORT, Field.DPORT, Field.PROTOCOL,
)  # fmt: skip
"""The order in which properties are freed and widened: what a reader misses least comes first."""

MOST_SPANS = 1024
"""Ranges of one property that a box tells; sets with a regular pattern in their low bits have billions."""

Wish = tuple[Key, Intervals]
_SEEN = {
    Family.IPV4: ("198.51.100.7", "192.0.2.1", "203.0.113.1"),
    Family.IPV6: ("2001:db8:c::7", "2001:db8:5::1", "2001:db8:6::1"),
}
"""A sender, whom it writes to, and whom where the former is the host itself."""
OTHER = 99
"""A protocol that conntrack has no tracker for: any private encryption scheme."""
_GLOBAL = {Family.IPV4: parse_prefix("64.0.0.0/3"), Family.IPV6: parse_prefix("2000::/3")}


def wishes(family: Family, icmp: Field) -> Iterator[Wish]:
    """What a witness should look like where there is a choice: a plain packet, from documentation addresses."""
    source, *targets = _SEEN[family]
    yield Field.MARK, Intervals.of(0)
    yield Field.TTL, Intervals.of(64)
    yield Field.DSCP, Intervals.of(0)
    yield Field.LENGTH, Intervals.of((100, 1280))
    yield Field.PROTOCOL, Intervals.of(Protocol.TCP)
    yield Field.PROTOCOL, Intervals.of(Protocol.UDP)
    yield Field.PROTOCOL, Intervals.of(OTHER)
    yield Field.TCP_FLAGS, Intervals.of(TcpFlag.SYN)
    yield Field.TCP_FLAGS, Intervals.of(TcpFlag.ACK)
    yield icmp, Intervals.of((8 if family is Family.IPV4 else 128) << 8)
    yield from ((Field.DPORT, Intervals.of(port)) for port in (3306, 22, 80, 443, 53))
    yield Field.DPORT, Intervals.of((1, 1023))
    yield Field.SPORT, Intervals.of(40000)
    yield Field.SPORT, Intervals.of((1, 65535))
    yield Field.DPORT, Intervals.of((1, 65535))
    yield from ((Field.SRC, Intervals.of(span)) for span in (_point(source), _GLOBAL[family]))
    yield Field.DST, (MULTICAST | BROADCAST).complement(128)
    yield from ((Field.DST, Intervals.of(span)) for span in (*map(_point, targets), _GLOBAL[family]))


def _point(text: str) -> tuple[int, int]:
    return parse_address(text), parse_address(text)


@dataclass(frozen=True, slots=True)
class Box:
    """The packets whose properties each have one of these values; a property not named may have any.

    `without` are the other values that packets of this direction have: often the shorter way to say it. `conditions`
    are questions that must be answered so (True: yes) for the packets to belong to the set. Interfaces are codes of
    the space's `Names`, marks have zeros in bits that do not matter. `witness` is one of the packets, `share` the part
    of all that the box is.
    """

    values: dict[Key, Intervals]
    without: dict[Key, Intervals]
    conditions: dict[str, bool]
    witness: Packet
    share: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class _Point:
    numbers: dict[Key, int]
    answers: dict[str, bool]


def keys_of(space: PacketVars) -> tuple[Key, ...]:
    """The properties that have variables, but for the ct state."""
    return tuple(k for k in FREED if k in space.bits)


def boxes(space: PacketVars, found: Set, universe: Set, limit: int) -> tuple[list[Box], bool]:
    """Up to `limit` boxes that cover `found`, largest first, and whether they cover all of it."""
    made: list[Box] = []
    rest, whole = found, universe.sat_count(space.sets.variables)
    inside = found | ~universe
    named = {k: project(space, k, universe) for k in keys_of(space)}
    while rest != space.nothing and len(made) < limit:
        space.sets.tick()
        point = pick(space, rest)
        box, packets = _grown(space, point, inside, named)
        part = Fraction((packets & found).sat_count(space.sets.variables), whole)
        made.append(replace(box, share=part))
        rest = rest & ~packets
    return sorted(made, key=lambda b: -b.share), rest == space.nothing


def pick(space: PacketVars, found: Set) -> _Point:
    """One vector of a set that is not empty, a plain one where there is a choice."""
    if space.free:
        sure = ~((~found).exists(space.sets.literals(*space.free.values())))
        found = sure if sure != space.nothing else found
    for key, values in wishes(space.family, space.icmp):
        if key in space.bits:
            wished = found & space.field(key, values) if isinstance(key, Field) else found
            found = wished if wished != space.nothing else found
    cube = found.pick_cube() or []
    source = space.whole(Field.SRC, _number(cube, space.bits[Field.SRC]))
    cube = (found & ~space.field(Field.DST, Intervals.of(source))).pick_cube() or cube  # nobody writes to himself
    numbers = {k: _number(cube, space.bits[k]) for k in keys_of(space)}
    answers = {text: bool(cube[n]) for text, n in space.free.items() if cube[n] is not None}
    return _Point(numbers, answers)


def _number(cube: list[bool | None], variables: tuple[int, ...]) -> int:
    number = 0
    for variable in variables:
        number = number << 1 | bool(cube[variable])
    return number


def packet_at(space: PacketVars, point: _Point) -> Packet:
    """The packet that a vector stands for."""
    numbers = point.numbers
    protocol = numbers[Field.PROTOCOL]
    ports = protocol in WITH_PORTS
    return Packet(
        space.family, protocol,
        space.whole(Field.SRC, numbers[Field.SRC]), space.whole(Field.DST, numbers[Field.DST]),
        numbers[Field.SPORT] if ports else None, numbers[Field.DPORT] if ports else None,
        numbers[Field.TCP_FLAGS] if protocol == Protocol.TCP else None,
        numbers[space.icmp] if protocol == space.icmp_protocol else None,
        space.names.known[numbers[IIF]], space.names.known[numbers[OIF]],
        numbers.get(Field.MARK, 0),
        length=numbers.get(Field.LENGTH), ttl=numbers.get(Field.TTL), dscp=numbers.get(Field.DSCP),
    )  # fmt: skip


def contains(space: PacketVars, found: Set, packet: Packet, answers: Mapping[str, bool] | None = None) -> bool:
    """Whether a packet is in a set that no longer asks for the ct state; questions not answered count as no."""
    numbers: dict[Key, int] = {IIF: space.names.code(packet.iif), OIF: space.names.code(packet.oif)} | {
        Field.PROTOCOL: packet.protocol, Field.SRC: packet.src, Field.DST: packet.dst, Field.SPORT: packet.sport or 0,
        Field.DPORT: packet.dport or 0, Field.TCP_FLAGS: packet.tcp_flags or 0, space.icmp: packet.icmp or 0,
        Field.MARK: packet.mark, Field.LENGTH: packet.length or 0, Field.TTL: packet.ttl or 0,
        Field.DSCP: packet.dscp or 0, Field.CT_STATE: 0,
    }  # fmt: skip
    given = [
        (n, bool(numbers[key] >> (len(ns) - 1 - at) & 1)) for key, ns in space.bits.items() for at, n in enumerate(ns)
    ]
    given += [(n, bool((answers or {}).get(text))) for text, n in space.free.items()]
    return found.eval(given)


def _grown(space: PacketVars, point: _Point, inside: Set, named: dict[Key, Set]) -> tuple[Box, Set]:
    """The largest box round a point, property by property."""
    parts: dict[Key, Set] = {
        key: space.sets.among([space.sets.var(n) for n in space.bits[key]], Intervals.of(number))
        for key, number in point.numbers.items()
    }
    answers: dict[str, Set] = {}
    for text, yes in point.answers.items():
        variable = space.unknown(text)
        answers[text] = variable if yes else ~variable
    for text in list(answers):
        others = _all(space, [*parts.values(), *(s for t, s in answers.items() if t != text)])
        if others & ~inside == space.nothing:
            del answers[text]
    conditions = _all(space, answers.values())
    for free in (True, False):
        for key in keys_of(space):
            if parts[key] == space.everything:  # freed already, and the box has only grown
                continue
            rest = _all(space, (p for k, p in parts.items() if k != key)) & conditions
            values = _allowed(space, key, rest, inside)
            if values == space.everything or not free:
                parts[key] = values
    _only_with_field(space, parts)
    narrowed = {k: p for k, p in parts.items() if named[k] & ~p != space.nothing}
    found = {k: intervals_of(space, k, p & named[k]) for k, p in narrowed.items()}
    without = {k: intervals_of(space, k, named[k] & ~p) for k, p in narrowed.items()}
    box = Box(found, without, {t: point.answers[t] for t in answers}, packet_at(space, point))
    return box, _all(space, parts.values()) & conditions


def project(space: PacketVars, key: Key, found: Set) -> Set:
    """The values of one property that packets of a set have."""
    return found.exists(space.besides(key))


def _all(space: PacketVars, sets: Iterable[Set]) -> Set:
    found = space.everything
    for one in sets:
        found = found & one
    return found


def _allowed(space: PacketVars, key: Key, rest: Set, inside: Set) -> Set:
    """The values of one property with which every packet of `rest` is inside."""
    outside = rest & ~inside
    return space.everything if outside == space.nothing else ~project(space, key, outside)


def _only_with_field(space: PacketVars, parts: dict[Key, Set]) -> None:
    """A box that names a port is about protocols with ports, one that names flags about TCP."""
    for key, needs in (
        (Field.SPORT, space.with_ports), (Field.DPORT, space.with_ports),
        (Field.TCP_FLAGS, space.protocol(Protocol.TCP)), (space.icmp, space.protocol(space.icmp_protocol)),
    ):  # fmt: skip
        if parts[key] != space.everything:
            parts[Field.PROTOCOL] = parts[Field.PROTOCOL] & needs


def intervals_of(space: PacketVars, key: Key, values: Set) -> Intervals:
    """A set over one property's variables as numbers, addresses as 128-bit ones."""
    spans = islice(_spans(space, values & _unmasked(space, key, values), space.bits[key]), MOST_SPANS)
    return Intervals.union_of((space.whole(key, a), space.whole(key, b)) for a, b in spans)


def _unmasked(space: PacketVars, key: Key, values: Set) -> Set:
    """The numbers that are zero in every bit of a mark that does not matter: a masked mark has 2**30 spans else."""
    if key is not Field.MARK:
        return space.everything
    free = [n for n in space.bits[key] if values.exists(space.sets.var(n)) == values]
    return ~space.sets.either([space.sets.var(n) for n in free])


def _spans(space: PacketVars, values: Set, variables: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    nothing, everything = space.nothing, space.everything
    todo = [(values, 0, 1 << len(variables), 0)]
    while todo:
        here, low, size, depth = todo.pop()
        if here == everything:
            yield low, low + size - 1
        elif here != nothing:
            own = here.node_var() == variables[depth]
            above, below = (own and here.cofactors()) or (here, here)
            todo += [(above, low + size // 2, size // 2, depth + 1), (below, low, size // 2, depth + 1)]
