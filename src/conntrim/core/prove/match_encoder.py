"""A rule's matches as packet sets: what is attached to the packets at this point of their way decides with them.

Conntrack state and mark are not simply variables: rules change them on the way. So a view holds, for each state and
each bit of the mark, the set of packets that have it *now*, in terms of the packets as they came.

More than 400 lines, and one class: every kind of match asks what is attached to the packets, and what rules wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from typing import assert_never

from conntrim.core.model.address_types import ADDRESS_TYPES, PACKET_TYPES, AddressType, PacketType
from conntrim.core.model.conntrack import STATELESS, CtState, Status
from conntrim.core.model.ct_match import CtIn, CtKey, Way, any_of
from conntrim.core.model.fields import DEVICES, FIELDS, Field, Source, full, mirror
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import WITHOUT_ENTRY, may_ask_the_state
from conntrim.core.model.protocol import WITH_PORTS
from conntrim.core.model.ruleset import (
    AnyOf,
    In,
    InSet,
    Interface,
    Match,
    NamedSet,
    OpaqueMatch,
    Rule,
    Table,
    XtConntrack,
    asked_fields,
    asks_ipset,
)  # fmt: skip
from conntrim.core.netfilter.ct_expressions import of_new
from conntrim.core.netfilter.matches import named_in, payload_readers
from conntrim.core.netfilter.question_text import membership, question
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.turns import Again, as_it_is

Kinds = Iterable[tuple[int, Intervals]]
"""Which addresses are of which kind, read from the top (address_types.py)."""


FRAGMENT = "the packet is a fragment other than the first"


@dataclass(slots=True)
class MatchEncoder:
    """What rules see of the packets at one hook.

    `mirrored`: the variables describe a request, and the packets here are its answer. `has_in`, `has_out`: which
    interfaces this hook knows. `local` are the host's addresses, None where nobody told; `from_host`, `to_host` say
    then that the source, the destination, is the host's. `hops` were taken off the TTL on the way here (K63). `version`
    counts changes of states and mark. `lost`: the packets of which a rule wrote the field: nobody knows what it is now.
    `written`: the bits, highest first, that a field has now that rules wrote, where each writing is followed by itself
    (turns.py). Without `states` the state is a variable like others. `dnated`: all packets here were translated.
    `added`: the packets whose fields rules put into a set (with its table) on the way.
    `direct`: the first packets that came by all that translates destinations, and kept theirs (None: not known).
    `entries`: conntrack was here: what is NEW has an entry, and is not a template (K10). `templated`: the packets that
    had a template then: the others' entries are in zone 0 (None: not known).
    `whole`: conntrack has put fragments together (K6); in front of that a packet may be one. `later`: all packets are
    fragments other than the first, told by the headers of their datagram.
    """

    space: PacketVars
    states: dict[CtState, Set] = field(default_factory=dict)
    mirrored: bool = False
    has_in: bool = True
    has_out: bool = False
    local: Intervals | None = None
    from_host: bool = False
    to_host: bool = False
    mark: list[Set] | None = None
    hops: int = 0
    lost: dict[Field, Set] = field(default_factory=dict)
    written: dict[Field, list[Set]] = field(default_factory=dict)
    added: dict[tuple[str, tuple[Field | str, ...]], Set] = field(default_factory=dict)
    direct: Set | None = None
    dnated: bool = False
    entries: bool = False
    templated: Set | None = None
    whole: bool = True
    later: bool = False
    version: int = 0
    _made: dict[Hashable, tuple[Set, object]] = field(default_factory=dict)
    _made_now: dict[Hashable, tuple[Set, object]] = field(default_factory=dict)
    _signature: int | None = None
    _again: Again = as_it_is

    def __post_init__(self) -> None:
        self.states = self.states or {state: self.space.state(state) for state in CtState}

    def changed(self) -> None:
        """States or mark are no longer what they were: forget what depends on them."""
        self.version += 1
        self._signature = None
        self._made_now.clear()

    def forget(self, name: Field, packets: Set) -> None:
        """A rule wrote this field of these packets."""
        self.lost[name] = self.lost.get(name, self.space.nothing) | packets
        self._made.clear()
        self.changed()

    def write(self, name: Field, packets: Set, why: str) -> None:
        """A rule gave this field of these packets a value that may be any."""
        bits = self._bits(name)
        for at, bit in enumerate(bits):
            bits[at] = packets.ite(self.space.unknown(f"{why} gives bit {len(bits) - 1 - at} of {name}"), bit)
        self._made.clear()
        self.changed()

    def put(self, name: Field, packets: Set, value: int) -> None:
        """A rule gave this field of these packets this value."""
        if name in self.lost:
            self.write(name, self.lost.pop(name), "what was written before")
        bits, values = self._bits(name), self.space.own(name, Intervals.of(value))
        ((came, _),) = (self._came(values) if name is Field.TTL else values).ranges
        for at, bit in enumerate(bits):
            bits[at] = packets.ite(self._always(bool(came >> (len(bits) - 1 - at) & 1)), bit)
        self._made.clear()
        self.changed()

    def _bits(self, name: Field) -> list[Set]:
        """The bits of a field that rules write, highest first."""
        key = self.key(name)
        return self.written.setdefault(name, [self.space.sets.var(n) for n in self.space.variables(key)])

    def add(self, set_name: str, fields: tuple[Field | str, ...], table: Table, packets: Set) -> None:
        """A rule put these fields of these packets into a set (K135)."""
        key = named_in(table, set_name), fields
        self.added[key] = self.added.get(key, self.space.nothing) | packets
        self._made.clear()
        self.changed()

    def signature(self) -> Hashable:
        """Two views with the same signature see the same in the same packets."""
        if self._signature is None:
            seen = *self.here(), *self.states.values(), *(self.mark or ()), self.direct, *self.lost.items()
            seen = *seen, self.templated, *((name, *bits) for name, bits in self.written.items()), *self.added.items()
            self._signature = self.space.signatures.setdefault(seen, len(self.space.signatures))
        return self._signature

    def here(self) -> tuple[Hashable, ...]:
        """What the place on the way lets rules see, whatever is attached to the packets."""
        place = self.mirrored, self.has_in, self.has_out, self.local, self.from_host, self.to_host
        return *place, self.hops, self.entries, self.dnated, self.whole, self.later

    def key(self, key: Field) -> Field:
        """The variables that a property of the packets here stands in."""
        return mirror(key) if self.mirrored else key

    def bits_of_mark(self) -> list[Set]:
        """The mark's bits, highest first."""
        if self.mark is None:
            self.mark = [self.space.sets.var(n) for n in self.space.variables(Field.MARK)]
            self._signature = None
        return self.mark

    def rule(self, rule: Rule, table: Table) -> Set:
        """The packets that all matches of the rule hold for."""
        self.space.sets.tick()
        found = self.space.everything
        for match in rule.matches:
            found = found & self.match(match, table)
        return found

    def match(self, match: Match, table: Table, again: Again = as_it_is) -> Set:
        """The packets that a match holds for; `again`: what tells this asking from others (turns.py)."""
        if again is not as_it_is:
            self._again = again
            found = self._match(match, table)
            self._again = as_it_is
            return found
        key: Hashable = (id(match), id(table)) if type(match) is InSet else id(match)
        if not self.whole or self.later:
            key = key, self.whole, self.later
        made = self._made.get(key) or self._made_now.get(key)
        if made is None:
            found = self._match(match, table)
            found = found if self.whole else self._of_parts(match, table, found)
            found = self._of_later(match, table, found) if self.later else found
            made = found, (match, table)  # holding them keeps their ids theirs
            (self._made_now if changes(match) else self._made)[key] = made
        return made[0]

    def _match(self, match: Match, table: Table) -> Set:
        match match:
            case In():
                return self.field(match.field, match.values, match.mask)
            case Interface():
                return self._interface(match.way, match.names, match.negated)
            case XtConntrack():
                return self._xt_conntrack(match)
            case InSet():
                return self._in_set(match, table)
            case AnyOf():
                return self.space.sets.either([self.match(m, table) for m in match.alternatives])
            case CtIn():
                return ~self.stateless() & self._of_entry(match)
            case OpaqueMatch():
                return self._opaque(match)
            case _:
                assert_never(match)

    def _of_parts(self, match: Match, table: Table, found: Set) -> Set:
        """K122: what nft reads in a later fragment where a header would stand is not known, nor is that one's length.
        Nobody sends fragments from the host, but by raw sockets."""
        fields, protocols = asked_fields(match), payload_readers(match, table)
        if self.from_host or not (protocols or Field.LENGTH in fields):
            return found
        read = self.space.everything
        if Field.LENGTH not in fields:
            read = self.space.values(Field.PROTOCOL, Intervals.of(*map(int, protocols)))
        carried = self.space.unknown(f"in a later fragment: {question(match)}")
        return (self.space.unknown(FRAGMENT) & read).ite(carried, found)

    def _of_later(self, match: Match, table: Table, found: Set) -> Set:
        """K122: a later fragment has no ports; what nft reads in their place is not known, nor is its length."""
        fields, opaque = asked_fields(match), isinstance(match, OpaqueMatch) and match.asks is None
        readers = payload_readers(match, table)
        if not readers and any(FIELDS[field].protocols for field in fields):
            return self.space.nothing
        if not (readers or opaque or Field.LENGTH in fields):
            return found
        own = self.space.unknown(f"in a later fragment: {question(match)}")
        return own & self.space.values(Field.PROTOCOL, Intervals.of(*map(int, readers))) if readers else own

    def gathered(self) -> Set:
        """Fragments are one packet from here on, with what is attached to the first: those whose fragments all had the
        same state. K48, K117: what is untracked is not put together, and so what else belongs to it is not either."""
        if FRAGMENT not in self.space.free:
            return self.space.everything
        states = {state: self.of_first(found) for state, found in self.states.items()}
        alike = self.space.everything
        for state, found in states.items():
            alike = alike & found.ite(self.states[state], ~self.states[state])
        self.states = states
        self.mark = self.mark and list(map(self.of_first, self.mark))
        self.written = {name: list(map(self.of_first, bits)) for name, bits in self.written.items()}
        self._made.clear()
        self.changed()
        return alike

    def apart(self) -> MatchEncoder:
        """What rules see here, for a walk that nobody follows: what it changes is seen nowhere else."""
        written = {name: list(bits) for name, bits in self.written.items()}
        return replace(
            self, states=dict(self.states), mark=self.mark and list(self.mark), lost=dict(self.lost), written=written,
            added=dict(self.added), _made={}, _made_now={}, _signature=None,
        )  # fmt: skip

    def of_first(self, found: Set) -> Set:
        """What holds of a datagram's first fragment, told of all."""
        if FRAGMENT not in self.space.free:
            return found
        later = self.space.unknown(FRAGMENT)
        return (found & ~later).exists(later)

    def field(self, name: Field, values: Intervals, mask: int | None = None) -> Set:
        """The packets whose field `& mask` is one of `values`."""
        special = SPECIAL.get(name)
        if name in self.written:
            return self._written(name, values, mask)
        found = special(self, name, values, mask) if special else self.space.field(self.key(name), values, mask)
        if name not in self.lost:
            return found
        having = self.space.needs.get(self.key(name), self.space.everything)
        return self.lost[name].ite(having & self.space.unknown(question(In(name, values, mask))), found)

    def _written(self, name: Field, values: Intervals, mask: int | None) -> Set:
        bits, values = self.written[name], self.space.own(name, values)
        if name is Field.TTL:
            values = self._came(values)
        kept = [b if mask is None or mask >> (len(bits) - 1 - i) & 1 else None for i, b in enumerate(bits)]
        return self.space.needs.get(self.key(name), self.space.everything) & self.space.sets.among(kept, values)

    def _ask(self, text: str) -> Set:
        return self.space.unknown(text + self._again(text))

    def family(self, name: Field, values: Intervals, mask: int | None) -> Set:
        """A space has packets of one family only."""
        return self._always(self.space.family in values)

    def fragment(self, name: Field, values: Intervals, mask: int | None) -> Set:
        """K6: where conntrack is active the hooks see whole packets, but for those in front of it."""
        if self.later:
            return self._always(1 in values)
        if self.whole or (0 in values) == (1 in values):
            return self._always(0 in values)
        return self.space.unknown(FRAGMENT) if 1 in values else ~self.space.unknown(FRAGMENT)

    def state(self, name: Field, values: Intervals, mask: int | None) -> Set:
        """The states as they are now."""
        return self.space.sets.either([self.states[s] for s in CtState if s in values])

    def marked(self, name: Field, values: Intervals, mask: int | None) -> Set:
        """The mark as it is now."""
        bits = self.bits_of_mark()
        kept = [b if mask is None or mask >> (31 - i) & 1 else None for i, b in enumerate(bits)]
        return self.space.sets.among(kept, values)

    def hop_limit(self, name: Field, values: Intervals, mask: int | None) -> Set:
        """The TTL as it is here, told by the one that the packet came with."""
        return self.space.field(name, self._came(values))

    def _came(self, values: Intervals) -> Intervals:
        """A TTL as it was before the hops that were taken off it."""
        return Intervals.of(*((low + self.hops, high + self.hops) for low, high in values.ranges))

    def _always(self, answer: bool) -> Set:
        return self.space.everything if answer else self.space.nothing

    def _interface(self, way: str, names: Iterable[str], negated: bool = False) -> Set:
        codes = self.space.names.codes(names, negated)
        known = self.has_in if way == "in" else self.has_out
        if known and DEVICES[way] in self.written:
            return self._written(DEVICES[way], codes, None)
        return self.space.values(self.key(DEVICES[way]), codes) if known else self._always(0 in codes)

    def _addresses(self, name: Field, values: Intervals) -> Set:
        if name in self.written:
            return self._written(name, values, None)
        return self.space.values(self.key(name), values)

    def address_type(self, name: Field, wanted: Intervals, mask: int | None) -> Set:
        """`addrtype` and `fib`: by address, and by where the packet comes from or goes."""
        of = Field.SRC if name is Field.SRC_TYPE else Field.DST
        ours = self.from_host if of is Field.SRC else self.to_host
        found, rest = self._kinds(of, ADDRESS_TYPES, wanted)
        local = self._always(ours) if self.local is None else self._addresses(of, self.local)
        found += [rest & local] * (AddressType.LOCAL in wanted) + [rest & ~local] * (AddressType.UNICAST in wanted)
        return self.space.sets.either(found)

    def _kinds(self, of: Field, kinds: Kinds, wanted: Intervals) -> tuple[list[Set], Set]:
        """The packets whose address is of a wanted kind, and those whose address is of none."""
        found, rest = list[Set](), self.space.everything
        for kind, addresses in kinds:
            here = self._addresses(of, addresses)
            found += [rest & here] * (kind in wanted)
            rest = rest & ~here
        return found, rest

    def packet_type(self, name: Field, wanted: Intervals, mask: int | None) -> Set:
        """By destination; what the host itself sends is never broadcast to it."""
        found, rest = self._kinds(Field.DST, () if self.from_host else PACKET_TYPES, wanted)
        return self.space.sets.either(found + [rest] * (PacketType.HOST in wanted))

    def stateless(self) -> Set:
        """The packets that have no entry."""
        return self.space.sets.either([self.states[state] for state in STATELESS])

    def _of_entry(self, match: CtIn) -> Set:
        """What the entry says. Whether a destination is translated is known of first packets behind the nat chains."""
        said = self._of_new((match,), self._ask(question(match)))
        if match.key is CtKey.ZONE and self.templated is not None:
            without = self.states[CtState.NEW] & ~self.templated
            return without.ite(self._always((0 in match.values) is not match.negated), said)
        if self.dnated and replace(match, negated=True) == any_of(Status.DST_NAT):
            return self._always(not match.negated)
        if replace(match, negated=True) != any_of(Status.DST_NAT) or self.direct is None:
            return said
        return said & ~self.direct if match.negated else said | self.direct

    def _of_new(self, asked: tuple[CtIn, ...], said: Set) -> Set:
        """What entries say to all that is asked together, as far as NEW packets tell it by themselves: they go their
        entry's original way (K107). `said` is the answer of the others."""
        known = [self._tells(each) for each in asked] if self.entries else [None]
        new, told = self.states[CtState.NEW], [found for found in known if found is not None]
        for found in told:
            said = said & (~new | found)
        if len(told) < len(known):
            return said
        for found in told:
            new = new & found
        return said | new

    def _tells(self, match: CtIn) -> Set | None:
        """What a NEW packet's own addresses and ports say of its entry; None: nothing."""
        always = of_new(match)
        if always is not None:
            return self._always(always)
        field = OF_BOTH.get(match.key)
        if field is None or match.way is Way.REPLY or self.dnated or field in self.written or field in self.lost:
            return None
        found = self.space.field(self.key(field), match.values, match.mask)
        return ~found if match.negated else found

    def _xt_conntrack(self, match: XtConntrack) -> Set:
        without = self.stateless()
        others = self._of_new(match.others, self._ask(question(match))) if match.others else self.space.everything
        if match.states is None:
            return ~without & others
        found = self.field(Field.CT_STATE, match.states)
        for name, asked in (("SNAT", match.snat), ("DNAT", match.dnat)):
            if asked:
                translated = ~without & self._ask(f"--ctstate {name}")
                if name == "DNAT" and self.dnated:
                    translated = ~without
                if name == "DNAT" and self.direct is not None:
                    translated = translated & ~self.direct
                found = found & ~translated if match.negated else found | translated
        return found & (without | others)

    def _opaque(self, match: OpaqueMatch) -> Set:
        kind = match.kind.split()[0] if match.kind else ""
        if kind not in WITHOUT_ENTRY and may_ask_the_state(match.kind):
            return self.space.sets.either([
                found & self._ask(f"{question(match)}, asked of a packet in state {state.name}")
                for state, found in self.states.items()
            ])  # fmt: skip
        answer = self._ask(question(match))
        if kind not in WITHOUT_ENTRY:
            return answer
        without = self.stateless()
        yes = WITHOUT_ENTRY[kind] and match.negated
        return without | answer if yes else ~without & answer

    def _in_set(self, match: InSet, table: Table) -> Set:
        named = table.set(match.set_name)
        if named is None or not named.known or named.dynamic or not all(isinstance(f, Field) for f in match.fields):
            found = self._ask(membership(match))
        else:
            found = self._elements(named, match.fields)
        added = self.added.get((named_in(table, match.set_name), match.fields))
        found = found if added is None else found | added
        present = self._present(match.fields)
        if Field.PROTOCOL in match.fields and not asks_ipset(match, table):
            present, found = self.space.everything, found | self._unported(match, named)
        if match.negated and asks_ipset(match, table):
            return ~(present & found)  # what lacks a port is in no ipset (K50)
        return present & (~found if match.negated else found)

    def _elements(self, named: NamedSet, fields: tuple[Field | str, ...]) -> Set:
        if len(fields) == 1 and isinstance(fields[0], Field) and FIELDS[fields[0]].source is not Source.DEVICE:
            return self.field(fields[0], named.numbers())
        found: list[Set] = []
        for element in named.elements:
            here = self.space.everything
            for key, name in zip(element, fields, strict=False):
                here = here & self._part(name, key)
            found.append(here)
        return self.space.sets.either(found)

    def _unported(self, match: InSet, named: NamedSet | None) -> Set:
        """Packets without ports that an element may have that says their protocol: nobody knows what `th` reads."""
        found, ports = self.space.nothing, {Field.SPORT, Field.DPORT}
        for element in named.elements if named is not None and ports.intersection(match.fields) else ():
            here = self.space.unknown(membership(match))
            for key, name in zip(element, match.fields, strict=False):
                if name is Field.PROTOCOL and isinstance(key, Intervals):
                    here = here & self.field(name, key - Intervals.of(*map(int, WITH_PORTS)))
                elif name not in ports:
                    here = here & self._part(name, key)
            found = found | here
        return found

    def _part(self, name: Field | str, key: Intervals | tuple[str, ...]) -> Set:
        if isinstance(key, Intervals):
            return self.field(Field(name), key)
        return self._interface("in" if name is Field.IIF else "out", key)

    def _present(self, fields: tuple[Field | str, ...]) -> Set:
        """The packets that have all of the fields: without one of them not even the negation matches."""
        found = self.space.everything
        for name in fields:
            if isinstance(name, Field) and FIELDS[name].source is not Source.DEVICE:
                found = found & self.field(name, full(name))
        return found


OF_BOTH: dict[CtKey, Field] = {
    CtKey.SRC: Field.SRC, CtKey.DST: Field.DST, CtKey.PROTOCOL: Field.PROTOCOL,
}  # fmt: skip
"""What an entry's original direction has of its first packet."""

SPECIAL: dict[Field, Callable[[MatchEncoder, Field, Intervals, int | None], Set]] = {
    Field.FAMILY: MatchEncoder.family, Field.FRAGMENT: MatchEncoder.fragment, Field.CT_STATE: MatchEncoder.state,
    Field.MARK: MatchEncoder.marked,
    Field.SRC_TYPE: MatchEncoder.address_type, Field.DST_TYPE: MatchEncoder.address_type,
    Field.PACKET_TYPE: MatchEncoder.packet_type,
    Field.TTL: MatchEncoder.hop_limit,
}  # fmt: skip
"""Fields that are no variables of their own."""


def changes(match: Match) -> bool:
    """Whether what the match says may change on a packet's way: it asks for the conntrack state, entry or mark."""
    match match:
        case In() | AnyOf() | InSet() | Interface() | XtConntrack():
            return any(FIELDS[field].source is Source.BESIDE for field in asked_fields(match))
        case CtIn():
            return True
        case OpaqueMatch():
            return may_ask_the_state(match.kind) or (bool(match.kind) and match.kind.split()[0] in WITHOUT_ENTRY)
        case _:
            assert_never(match)
