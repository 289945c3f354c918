"""A set of packets as a few boxes: for each property the values it may have, any combination of them allowed.

A box grows from one packet: first every property that does not matter is freed, then the others take as many values
as stay inside the set. Boxes may overlap; together they never leave the set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from typing import Any

from conntrim.core.model.address import Family, parse_address, parse_prefix
from conntrim.core.model.address_types import BROADCAST, MULTICAST
from conntrim.core.model.fields import FIELDS, Field, FieldSpec, Source, TcpFlag
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.packet_vars import PacketVars

FREED = tuple(sorted((field for field, spec in FIELDS.items() if spec.rank), key=lambda field: FIELDS[field].rank))
"""The order in which properties are freed and widened: what a reader misses least comes first."""

MOST_SPANS = 1024
"""Ranges of one property that a box tells; sets with a regular pattern in their low bits have billions."""

Wish = tuple[Field, Intervals]
_SEEN = {
    Family.IPV4: ("198.51.100.7", "192.0.2.1", "203.0.113.1"),
    Family.IPV6: ("2001:db8:c::7", "2001:db8:5::1", "2001:db8:6::1"),
}
"""A sender, whom it writes to, and whom where the former is the host itself."""
OTHER = 99
"""A protocol that conntrack has no tracker for: any private encryption scheme."""
_ROUND = {Family.IPV4: ("127.0.0.2", "127.0.0.1"), Family.IPV6: ("::1", "::1")}
"""Both ends of what stays on the loopback: the first and last address of 127.0.0.0/8 are broadcasts."""
_GLOBAL = {Family.IPV4: parse_prefix("64.0.0.0/3"), Family.IPV6: parse_prefix("2000::/3")}


def wishes(family: Family, icmp: Field) -> Iterator[Wish]:
    """What a witness should look like where there is a choice: a plain packet, from documentation addresses."""
    source, *targets = _SEEN[family]
    yield from ((field, spec.usual) for field, spec in FIELDS.items() if spec.usual)
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
    yield from (
        (Field.SRC, Intervals.of(span)) for span in (_point(source), _GLOBAL[family], _point(_ROUND[family][0]))
    )
    yield Field.DST, (MULTICAST | BROADCAST).complement(128)
    yield from (
        (Field.DST, Intervals.of(span)) for span in (*map(_point, targets), _GLOBAL[family], _point(_ROUND[family][1]))
    )


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

    values: dict[Field, Intervals]
    without: dict[Field, Intervals]
    conditions: dict[str, bool]
    witness: Packet
    share: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class _Point:
    numbers: dict[Field, int]
    answers: dict[str, bool]


def keys_of(space: PacketVars) -> tuple[Field, ...]:
    """The properties that have variables, but for the ct state."""
    return tuple(k for k in FREED if k in space.bits)


def boxes(space: PacketVars, found: Set, universe: Set, limit: int) -> tuple[list[Box], bool]:
    """Up to `limit` boxes that cover `found`, largest first, and whether they cover all of it."""
    made, whole = cubes(space, found, universe, limit)
    return [box for box, _ in made], whole


def cubes(space: PacketVars, found: Set, universe: Set, limit: int) -> tuple[list[tuple[Box, Set]], bool]:
    """The same, each box with its packets; found once."""
    key = "cubes", found, universe, limit
    if key not in space.known:
        space.known[key] = None, _cubes(space, found, universe, limit)
    made, whole = space.known[key][1]
    return list(made), whole


def _cubes(space: PacketVars, found: Set, universe: Set, limit: int) -> tuple[list[tuple[Box, Set]], bool]:
    made: list[tuple[Box, Set]] = []
    rest, whole = found, universe.sat_count(space.sets.variables)
    inside = found | ~universe
    named = {k: project(space, k, universe) for k in keys_of(space)}
    while rest != space.nothing and len(made) < limit:
        space.sets.tick()
        point = pick(space, rest)
        box, packets = _grown(space, point, inside, named)
        part = Fraction((packets & found).sat_count(space.sets.variables), whole)
        made.append((replace(box, share=part), packets & found))
        rest = rest & ~packets
    return sorted(made, key=lambda each: -each[0].share), rest == space.nothing


def pick(space: PacketVars, found: Set) -> _Point:
    """One vector of a set that is not empty, a plain one where there is a choice."""
    if space.free:
        sure = ~((~found).exists(space.sets.literals(*space.free.values())))
        found = sure if sure != space.nothing else found
    for key, values in wishes(space.family, space.icmp):
        if key in space.bits:
            wished = found & space.field(key, values)
            found = wished if wished != space.nothing else found
    for key in (Field.SRC, Field.DST):
        wished = found & ~space.values(key, Intervals.of(0), NETWORK)
        found = wished if wished != space.nothing else found
    cube = found.pick_cube() or []
    source = space.whole(Field.SRC, _number(cube, space.bits[Field.SRC]))
    cube = (found & ~space.field(Field.DST, Intervals.of(source))).pick_cube() or cube  # nobody writes to himself
    numbers = {k: _number(cube, space.bits[k]) for k in keys_of(space)}
    answers = {text: bool(cube[n]) for text, n in space.free.items() if cube[n] is not None}
    return _Point(numbers, answers)


NETWORK = 0xFF
"""The bits of an address that are 0 in the one that all routers of its network have as their own (IPv6, K125), and in
that of the network itself, which the host of an IPv4 network takes for a broadcast."""


def _number(cube: list[bool | None], variables: tuple[int, ...]) -> int:
    number = 0
    for variable in variables:
        number = number << 1 | bool(cube[variable])
    return number


def packet_at(space: PacketVars, point: _Point) -> Packet:
    """The packet that a vector stands for."""
    protocol, said = point.numbers[Field.PROTOCOL], dict[str, Any]()
    for key, number in point.numbers.items():
        spec = FIELDS[key]
        if not spec.protocols or protocol in spec.protocols:
            device = spec.source is Source.DEVICE
            said[spec.attribute] = space.names.known[number] if device else space.whole(key, number)
    return Packet(space.family, **said)


def contains(space: PacketVars, found: Set, packet: Packet, answers: Mapping[str, bool] | None = None) -> bool:
    """Whether a packet is in a set that no longer asks for the ct state; questions not answered count as no."""
    numbers = {key: _held(space, packet, FIELDS[key]) for key in space.bits}
    given = [
        (n, bool(numbers[key] >> (len(ns) - 1 - at) & 1)) for key, ns in space.bits.items() for at, n in enumerate(ns)
    ]
    given += [(n, bool((answers or {}).get(text))) for text, n in space.free.items()]
    return found.eval(given)


def _held(space: PacketVars, packet: Packet, spec: FieldSpec) -> int:
    """A packet's number of a field; 0 where it has none."""
    held: str | int | None = getattr(packet, spec.attribute, None)
    return space.names.code(held) if isinstance(held, str) else held or 0


def _grown(space: PacketVars, point: _Point, inside: Set, named: dict[Field, Set]) -> tuple[Box, Set]:
    """The largest box round a point, property by property."""
    parts: dict[Field, Set] = {
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


def project(space: PacketVars, key: Field, found: Set) -> Set:
    """The values of one property that packets of a set have."""
    return found.exists(space.besides(key))


def _all(space: PacketVars, sets: Iterable[Set]) -> Set:
    found = space.everything
    for one in sets:
        found = found & one
    return found


def _allowed(space: PacketVars, key: Field, rest: Set, inside: Set) -> Set:
    """The values of one property with which every packet of `rest` is inside."""
    outside = rest & ~inside
    return space.everything if outside == space.nothing else ~project(space, key, outside)


def _only_with_field(space: PacketVars, parts: dict[Field, Set]) -> None:
    """A box that names a port is about protocols with ports, one that names flags about TCP."""
    for key, needs in space.needs.items():
        if key in parts and parts[key] != space.everything:
            parts[Field.PROTOCOL] = parts[Field.PROTOCOL] & needs


def intervals_of(space: PacketVars, key: Field, values: Set) -> Intervals:
    """A set over one property's variables as numbers, addresses as 128-bit ones."""
    spans = islice(_spans(space, values & _unmasked(space, key, values), space.bits[key]), MOST_SPANS)
    return Intervals.union_of((space.whole(key, a), space.whole(key, b)) for a, b in spans)


def all_of(space: PacketVars, key: Field, values: Set) -> Intervals | None:
    """The same, each and every one of them; None where that are too many."""
    spans = list(islice(_spans(space, values, space.bits[key]), MOST_SPANS + 1))
    if len(spans) > MOST_SPANS:
        return None
    return Intervals.union_of((space.whole(key, a), space.whole(key, b)) for a, b in spans)


def _unmasked(space: PacketVars, key: Field, values: Set) -> Set:
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
