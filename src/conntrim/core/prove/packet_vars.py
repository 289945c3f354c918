"""All packets of one address family as bit vectors: which variables stand for which property.

IPv4 and IPv6 get spaces of their own: a diagram over 32-bit addresses is a fraction of one over 128. Where a packet
goes stands above where it comes from: rule sets serve each destination in its own way and check all senders in one, so
that check stands once below all services. What only few rule sets ask for (marks, lengths, texts nobody understands)
gets its variables when first asked for, at the bottom.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from functools import cached_property
from typing import Any

from conntrim.core.model.address import MAPPED, V4_ALL, Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import FIELDS, Field, Fields, matched, mirror
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import WITH_PORTS
from conntrim.core.netfilter.icmp import ICMP
from conntrim.core.prove.diagram import Diagrams, Set
from conntrim.core.prove.names import LOOPBACK, Names
from conntrim.core.prove.turns import Occurrences

ADDRESS_BITS = {Family.IPV4: 32, Family.IPV6: 128}
IIF, OIF = Field.IIF, Field.OIF

ENDS = {Field.SRC: Field.DST, Field.DST: Field.SRC}
MANY = 64
"""Ranges of addresses of which the set is not made anew for the other end of the packets."""
LARGE = 1024
"""Ranges of addresses that make a set large: each step with it costs as much as all others."""

STATES: tuple[CtState, ...] = tuple(CtState)
"""A state's code is its place here."""


class PacketVars:
    """The variables of one family. `names` are the interfaces that any rule set of this question tells apart;
    `occurrences`: what counts is a question of each rule's own (turns.py), else one for its text. `coarse`: whether an
    address is in a large set is a question of its own, so that more seems possible than is. `shared`: many questions
    are asked of the same rules, so what becomes of packets in a chain is found for all packets of a direction, and
    shared; for one question it is found for its own packets."""

    def __init__(
        self, family: Family, names: Names, tick: Callable[[], None] = lambda: None,
        occurrences: Occurrences | None = None, *, coarse: bool = False, shared: bool = False,
    ) -> None:  # fmt: skip
        self.family, self.names, self.occurrences, self.coarse = family, names, occurrences, coarse
        self.shared = shared
        self.sets = Diagrams(tick)
        self.nothing, self.everything = self.sets.nothing, self.sets.everything
        self.icmp, self.icmp_protocol = ICMP[family].field, ICMP[family].protocol
        """The family's own ICMP; the other one's is nonsense there and never made."""
        self.bits: dict[Field, tuple[int, ...]] = {}
        wide = ADDRESS_BITS[family]
        own = {Field.SRC: wide, Field.DST: wide, IIF: names.bits, OIF: names.bits}
        for key in (
            Field.DST, OIF, Field.PROTOCOL, Field.DPORT, self.icmp, Field.TCP_FLAGS, Field.CT_STATE, IIF, Field.SRC,
            Field.SPORT,
        ):  # fmt: skip
            self.bits[key] = self.sets.add(own.get(key, FIELDS[key].bits))
        self.free: dict[str, int] = {}
        self._fresh: dict[str, list[Set]] = {}
        self.known: dict[Hashable, tuple[object, Any]] = {}
        """What was found about chains, with what it was found from (chains.py)."""
        self.signatures: dict[Hashable, int] = {}
        """What encoders see, each numbered (match_encoder.py)."""
        self._besides: dict[tuple[Field, int], Set] = {}
        self._bits: dict[Field, list[Set | None]] = {}
        self._one: dict[tuple[Field, int], Set] = {}
        self.universes: dict[Hashable, Set] = {}
        """All packets of a direction, by what else they depend on (reachability.py)."""
        self._made: dict[tuple[Field, Intervals, int | None], Set] = {}
        self.with_ports = self._protocols(WITH_PORTS)
        self.needs = {field: self._protocols(spec.protocols) for field, spec in FIELDS.items() if spec.protocols}
        """The packets that have each of the fields that not all have."""

    def any_state(self, found: Set) -> Set:
        """The packets of a set, whatever their ct state."""
        return found.exists(self.sets.literals(*self.bits[Field.CT_STATE]))

    def protocol(self, number: int) -> Set:
        """The packets of one layer-4 protocol."""
        found = self._one.get((Field.PROTOCOL, number))
        if found is None:
            found = self._one[Field.PROTOCOL, number] = self.values(Field.PROTOCOL, Intervals.of(number))
        return found

    def _protocols(self, numbers: Iterable[int]) -> Set:
        return self.values(Field.PROTOCOL, Intervals.of(*map(int, numbers)))

    def variables(self, key: Field) -> tuple[int, ...]:
        """The variables of a property, highest bit first, made if there are none yet."""
        if key not in self.bits:
            self.bits[key] = self.sets.add(FIELDS[key].bits)
        return self.bits[key]

    def besides(self, key: Field) -> Set:
        """All variables but those of one property: what a quantifier takes to leave only that."""
        known = key, self.sets.variables
        if known not in self._besides:
            own = set(self.bits[key])
            self._besides[known] = self.sets.literals(*(n for n in range(self.sets.variables) if n not in own))
        return self._besides[known]

    def values(self, key: Field, values: Intervals, mask: int | None = None) -> Set:
        """The vectors whose property `& mask` is one of `values`, whether or not such packets have it."""
        made = self._made.get((key, values, mask))
        if made is None:
            made = self._made[key, values, mask] = self._values(key, values, mask)
        return made

    def _values(self, key: Field, values: Intervals, mask: int | None) -> Set:
        if self.coarse and key in ENDS and len(values.ranges) > LARGE:
            return self.unknown(f"{key} in the large set {len(self.free)}")  # `_made` holds it for who asks again
        other = ENDS.get(key) if mask is None and len(values.ranges) > MANY else None
        if other is not None and (there := self._made.get((other, values, mask))) is not None:
            return self.sets.moved(there, self.bits[other], self.bits[key])
        kept = self._sets_of(key)
        if mask is not None:
            kept = [bit if mask >> at & 1 else None for at, bit in zip(range(len(kept) - 1, -1, -1), kept, strict=True)]
        return self.sets.among(kept, self._own(key, values))

    def ends_swapped(self, found: Set) -> Set:
        """What answers the packets of a set, told by addresses, ports and protocol alone."""
        ends = (Field.SRC, Field.DST, Field.SPORT, Field.DPORT)
        old, new = ([bit for key in keys for bit in self.variables(key)] for keys in (ends, map(mirror, ends)))
        kept = {*old, *self.variables(Field.PROTOCOL)}
        others = [bit for bit in range(self.sets.variables) if bit not in kept]
        return self.sets.moved(found.exists(self.sets.literals(*others)), old, new)

    def where(self, found: Set, key: Field, number: int) -> Set:
        """The vectors of a set that have this property, whatever else it might be: without its variables. Where they
        stand above all others that is one way down the diagram."""
        bits = self.bits[key]
        own = self._own(key, Intervals.of(number))
        if not own:
            return self.nothing
        if bits[0] != 0:
            return (found & self.values(key, Intervals.of(number))).exists(self.sets.literals(*bits))
        ((value, _),) = own.ranges
        while (ends := found.cofactors()) and (level := found.node_level()) is not None and level < len(bits):
            found = ends[0 if value >> len(bits) - 1 - level & 1 else 1]
        return found

    def _sets_of(self, key: Field) -> list[Set | None]:
        if key not in self._bits:
            self._bits[key] = [self.sets.var(n) for n in self.variables(key)]
        return self._bits[key]

    def field(self, key: Field, values: Intervals, mask: int | None = None) -> Set:
        """The packets that have this property, with one of these values."""
        if key in (Field.ICMP, Field.ICMPV6) and key is not self.icmp:
            return self.nothing
        found = self.values(key, values, mask)
        return found & self.needs[key] if key in self.needs else found

    def told(self, fields: Fields) -> Set:
        """The packets that fields tell."""
        found = self.everything
        for each in matched(fields.items()):
            found = found & self.field(*each)
        return found

    def _own(self, key: Field, values: Intervals) -> Intervals:
        if key not in (Field.SRC, Field.DST) or self.family is Family.IPV6:
            return values
        low, high = V4_ALL
        return Intervals.of(*((max(a, low) - MAPPED, min(b, high) - MAPPED) for a, b in values.ranges
                              if a <= high and b >= low))  # fmt: skip

    def own(self, key: Field, values: Intervals) -> Intervals:
        """Values as a property's variables have them."""
        return self._own(key, values)

    @cached_property
    def returning(self) -> Set:
        """The packets that leave by the interface where they came from, which has a name."""
        names = (name for name in self.names.known if name and name != LOOPBACK)
        codes = (self.names.codes((name,)) for name in names)
        return self.sets.either([self.values(IIF, each) & self.values(OIF, each) for each in codes])

    def fresh(self, name: str, bits: int) -> list[Set]:
        """Bits that no packet came with, highest first: always the same for a name."""
        if name not in self._fresh:
            self._fresh[name] = [self.sets.var(n) for n in self.sets.add(bits)]
        return self._fresh[name]

    def without_fresh(self, found: Set) -> Set:
        """The packets of a set, whatever such bits are."""
        cube = self.everything
        for bits in self._fresh.values():
            for bit in bits:
                cube = cube & bit
        return found.exists(cube)

    def whole(self, key: Field, number: int) -> int:
        """A number of this property's variables as the model writes it: addresses are 128 bits there."""
        return number | MAPPED if key in (Field.SRC, Field.DST) and self.family is Family.IPV4 else number

    def interface(self, way: Field, codes: Intervals) -> Set:
        """The packets whose incoming (`iif`) or outgoing (`oif`) interface has one of these codes."""
        return self.values(way, codes)

    def state(self, state: CtState) -> Set:
        """The vectors in this ct state."""
        found = self._one.get((Field.CT_STATE, state))
        if found is None:
            found = self.values(Field.CT_STATE, Intervals.of(STATES.index(state)))
            self._one[Field.CT_STATE, state] = found
        return found

    def unknown(self, text: str) -> Set:
        """Where a question that the model cannot answer is answered with yes: one variable for each text."""
        if text not in self.free:
            self.free[text] = self.sets.add(1)[0]
        return self.sets.var(self.free[text])
