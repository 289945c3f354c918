"""All packets of one direction on their way through the hooks: which arrive, and which conntrack never saw.

Behind conntrack the ct state is a variable, not an assumption: one walk answers for unsolicited packets, for packets of
connections and for errors about them; `states.py` says afterwards which packet is in which state.

More than 400 lines: which packets a direction has, and their one walk through its hooks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import assert_never

from conntrim.core.model.address import Family, parse_prefix
from conntrim.core.model.address_types import BROADCAST, LOOPBACK, MULTICAST
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.marks import SetMark
from conntrim.core.model.policy import ADDRESSES
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import (
    Chain,
    Dialect,
    End,
    Interface,
    Notrack,
    OpaqueStatement,
    Rule,
    Statement,
    Table,
    TableFamily,
    Verdict,
    asked_fields,
)
from conntrim.core.model.service import Direction, Hook
from conntrim.core.model.tcp_flags import RESETS
from conntrim.core.netfilter.answers import HEADERS
from conntrim.core.netfilter.hooks import CONNTRACK, DEFRAG, JOURNEYS, NAT_DST, Arranged, Kind, Station, in_ranks
from conntrim.core.netfilter.question_text import hangs
from conntrim.core.prove.chains import ChainTrace, Traced, Visit
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import BACK
from conntrim.core.prove.match_encoder import FRAGMENT, MatchEncoder
from conntrim.core.prove.names import LOOPBACK as LO
from conntrim.core.prove.orders import acting
from conntrim.core.prove.packet_vars import IIF, OIF, STATES, PacketVars
from conntrim.core.prove.states import in_front
from conntrim.core.prove.summary import Hit
from conntrim.core.prove.turns import Turns
from conntrim.core.prove.watch import OF_THE_ENTRY, Sight, Watch

SEES: dict[Hook, tuple[bool, bool]] = {
    Hook.INGRESS: (True, False), Hook.PREROUTING: (True, False), Hook.INPUT: (True, False), Hook.FORWARD: (True, True),
    Hook.OUTPUT: (False, True), Hook.POSTROUTING: (True, True),
}  # fmt: skip
"""Whether a hook knows the incoming and the outgoing interface; a packet of our own has no incoming one anyway."""

ARRIVING = (Hook.INGRESS, Hook.PREROUTING, Hook.INPUT)
"""Where what the host sends to itself has the loopback as its incoming interface."""

NONE: Traced = MappingProxyType({})

TRANSLATING = (Hook.PREROUTING, Hook.OUTPUT)
"""Where destinations are translated."""
SOURCES = (Hook.POSTROUTING, Hook.INPUT)
"""Where sources are translated; only of those does the kernel pick a port."""

ANY_TABLE = Table(Dialect.NFTABLES, TableFamily.NETDEV, "", ())
"""Whatever table asks for an interface, the answer is the same."""

THIS_HOST = Intervals.of(parse_prefix("0.0.0.0/8"), parse_prefix("::/128"))
"""Addresses that no packet comes from, but for DHCP and neighbour discovery."""

COMES, GOES = (Direction.INBOUND, Direction.FORWARDED), (Direction.OUTBOUND, Direction.FORWARDED)
NEVER_FROM = LOOPBACK | MULTICAST | BROADCAST
"""Source addresses that the kernel drops as martians before any hook but PREROUTING."""


SMALLEST: dict[Protocol, int] = {
    Protocol.TCP: 20, Protocol.UDP: 8, Protocol.UDPLITE: 8, Protocol.SCTP: 12, Protocol.DCCP: 12,
    Protocol.ICMP: 8, Protocol.ICMPV6: 8,
}  # fmt: skip
"""Bytes of the shortest headers: what is shorter is INVALID, and no match on a port looks at it."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What one rule set does with the packets of one direction.

    `arrived` are the packets that pass all hooks, in terms of packet and ct state; `untracked` those that raw rules
    keep from conntrack; `templated` those with a zone or helper template. `hits` are the effects that rules had,
    `translated` the packets whose destination a rule changes: they are not followed further (translation.py). `doubts`
    say where the order of chains is not known, `early` where it is that of a chain and the reassembly, which matters to
    fragments alone; `marks` are the bits of the mark where destinations are translated;
    `sights` are the packets that came to what is watched, `visits` those that came to traced rules; `left` are
    the bits at the end of the fields that rules looked at or wrote. `later` are the datagrams whose later fragments
    pass by themselves although something puts fragments together (K117).
    """

    direction: Direction
    arrived: Set
    untracked: Set
    templated: Set
    translated: Set
    hits: tuple[tuple[Hook, Hit], ...]
    doubts: tuple[str, ...] = ()
    marks: tuple[Set, ...] = ()
    sights: tuple[tuple[Hook, Sight], ...] = ()
    visits: tuple[Visit, ...] = ()
    left: Mapping[Field, tuple[Set, ...]] = field(default_factory=dict)
    early: tuple[str, ...] = ()
    later: Set | None = None


def told_of(local: Intervals | None, family: Family) -> Intervals | None:
    """The host's addresses that a family's packets may carry; None where only the loopback's are known: that every
    host has them says nothing, and taken for all it would leave no packet to look at."""
    return ((local or Intervals()) & ADDRESSES[family]) - LOOPBACK or None


def packets_of(
    space: PacketVars,
    direction: Direction,
    local: Intervals | None = None,
    mirrored: bool = False,
    *,
    foreign: bool = False,
) -> Set:
    """All packets of one direction that may exist. `mirrored`: told by the packet that they answer. `foreign`: those
    that this host sends or takes in under an address that is none of its own, as a transparent proxy does (K73).
    """
    key = direction, local, mirrored, foreign
    if key not in space.universes:
        space.universes[key] = _packets_of(space, direction, local, mirrored, foreign=foreign)
    return space.universes[key]


def _packets_of(
    space: PacketVars, direction: Direction, local: Intervals | None, mirrored: bool, *, foreign: bool
) -> Set:
    view = MatchEncoder(space, mirrored=mirrored)
    found = shaped(space, direction, mirrored=mirrored)
    if direction is Direction.LOOPBACK:
        home = (local or Intervals()) | LOOPBACK | MULTICAST | BROADCAST
        return found & view.field(Field.DST, home) if local else found
    found = found & ~view.field(Field.SRC, NEVER_FROM) & ~view.field(Field.DST, LOOPBACK)
    if not local:
        return space.nothing if foreign else found
    if foreign:
        many, ends = MULTICAST | BROADCAST, (Field.SRC, Field.DST)
        return found & ~space.sets.either([view.field(f, local) for f in ends]) & ~view.field(Field.DST, many)
    ours, to_us = view.field(Field.SRC, local), view.field(Field.DST, local | MULTICAST | BROADCAST)
    return {
        Direction.INBOUND: found & to_us & ~ours,
        Direction.OUTBOUND: found & ours & ~view.field(Field.DST, local),
        Direction.FORWARDED: found & ~ours & ~view.field(Field.DST, local),
    }[direction]


def shaped(space: PacketVars, direction: Direction, *, mirrored: bool = False) -> Set:
    """All that the interfaces say goes one way, from and to any address."""
    view = MatchEncoder(space, mirrored=mirrored)
    other_icmp = Protocol.ICMPV6 if space.icmp is Field.ICMP else Protocol.ICMP
    found = ~space.protocol(other_icmp) & view.field(Field.SRC, ADDRESSES[space.family])
    found = found & view.field(Field.DST, ADDRESSES[space.family])
    found = found & space.values(view.key(IIF), codes_of(space, direction, direction in COMES))
    found = found & space.values(view.key(OIF), codes_of(space, direction, direction in GOES))
    return found & space.values(Field.CT_STATE, Intervals.of((0, len(STATES) - 1)))


def existing(space: PacketVars, direction: Direction) -> Set:
    """The packets as long as their headers at least; of those to be forwarded, such as have a hop left."""
    found = space.everything
    if Field.LENGTH in space.bits:
        head = HEADERS[space.family]
        found = space.field(Field.LENGTH, Intervals.of((head, 0xFFFF)))
        for protocol, least in SMALLEST.items():
            found = found & (
                ~space.protocol(protocol) | space.field(Field.LENGTH, Intervals.of((head + least, 0xFFFF)))
            )
    if Field.TTL in space.bits and direction is Direction.FORWARDED:
        found = found & ~space.field(Field.TTL, Intervals.of((0, 1)))
    return found


def codes_of(space: PacketVars, direction: Direction, has: bool) -> Intervals:
    """The codes of the interfaces of a direction's packets; `has`: on the side where there is one."""
    if direction is Direction.LOOPBACK:
        return space.names.codes((LO,))
    return space.names.codes(("", LO), negated=True) if has else Intervals.of(0)


def _all_read(hung: tuple[Table, Chain]) -> bool:
    """Whether it is known what a nat chain translates: a target that is unknown to the model might, too."""
    table, base = hung
    return OpaqueStatement not in table.kinds(base)


def encoder(
    space: PacketVars, direction: Direction, hook: Hook, states: dict[CtState, Set], local: Intervals | None,
    *, mirrored: bool = False,
) -> MatchEncoder:  # fmt: skip
    """What rules at a hook see of the packets that go one way; `states` says which of them is in which state."""
    has_in, has_out = SEES[hook]
    came = direction in COMES or (direction is Direction.LOOPBACK and hook in ARRIVING)
    return MatchEncoder(
        space, states, mirrored, has_in and came, has_out, local,
        from_host=direction not in COMES, to_host=direction not in GOES,
        hops=int(direction is Direction.FORWARDED and has_out),  # K63
    )  # fmt: skip


def left_in_parts(arranged: Arranged, family: Family) -> bool:
    """Whether rules in front of reassembly untrack packets, whose fragments come to later rules as such (K117)."""
    groups = (g for g in arranged.groups[family, Hook.PREROUTING] if g[0].priority <= DEFRAG)
    chains = ((table, chain) for group in groups for station in group for table, chain in station.chains)
    return any(Notrack in table.kinds(chain) for table, chain in chains)


@dataclass(frozen=True, slots=True)
class Image:
    """What is known of packets whose destination was translated: the mark's bits (empty: none looked at it), and by
    hook the bits of the fields that are other ones now."""

    marks: tuple[Set, ...]
    fields: Mapping[Hook, Mapping[Field, list[Set]]]


@dataclass(slots=True)
class _Way:
    """One walk along one direction; thrown away at its end."""

    space: PacketVars
    arranged: Arranged
    direction: Direction
    scope: Set
    mirrored: bool
    local: Intervals | None
    image: bool | Image = False
    hooks: tuple[Hook, ...] = ()
    watch: Watch | None = None
    traced: Traced = field(default_factory=dict)
    turns: Turns | None = None
    marked: bool = False
    wanted: Collection[Statement] | None = None
    few: bool = False
    later: bool = False
    ground: Set = field(init=False)
    view: MatchEncoder = field(init=False)
    alive: Set = field(init=False)
    untracked: Set = field(init=False)
    templated: Set = field(init=False)
    translated: Set = field(init=False)
    parts: Set | None = None
    tracked: bool = False
    marks: tuple[Set, ...] = ()
    hits: list[tuple[Hook, Hit]] = field(default_factory=list)
    sights: list[tuple[Hook, Sight]] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)

    def run(self) -> Reach:
        """Walk all hooks."""
        nothing = self.space.nothing
        self.ground = self._ground()
        self.alive, self.untracked, self.templated, self.translated = self.scope, nothing, nothing, nothing
        self.view = MatchEncoder(self.space, in_front(self.space), self.mirrored, local=self.local)
        if self.image:
            self._track()  # and whatever mark it has, it got before
            if isinstance(self.image, Image):
                self.view.mark = self._mark_before(self.image.marks)
        elif self.direction in COMES and not self.marked:
            self.view.mark = [nothing] * 32  # what comes from the wire carries no mark
        self._walk_hooks()
        arrived, later = self.alive, nothing
        if self.parts is not None:
            later = self._later()
            arrived = arrived & (~self.parts | later)
        left = {name: tuple(bits) for name, bits in self.view.written.items()}
        if self.view.mark:
            left[Field.MARK] = tuple(self.view.mark)
        return Reach(
            self.direction, arrived, self.untracked, self.templated, self.translated, tuple(self.hits),
            tuple(self.doubts), self.marks, tuple(self.sights), tuple(self.visits), left,
            tuple(self.early), later,
        )  # fmt: skip

    def _walk_hooks(self) -> None:
        for hook in self.hooks or JOURNEYS[self.direction]:
            if hook is Hook.INGRESS and (self.image or not self.arranged.groups[self.space.family, hook]):
                continue
            self._enter(hook)
            for group in self.arranged.groups[self.space.family, hook]:
                if self._done(hook, group[0].priority):
                    continue
                self._order(acting(group), hook)
                for station in group:
                    self._station(station, hook)

    def _ground(self) -> Set:
        """The packets that chains are looked at for: those of the question, or all that may go this way. Walks of
        answers are told by the requests, which go the other way."""
        if not self.space.shared:
            return self.scope
        every = packets_of(self.space, BACK[self.direction] if self.mirrored else self.direction, self.local)
        return every if self.scope & ~every == self.space.nothing else self.scope

    def _mark_before(self, marks: tuple[Set, ...]) -> list[Set] | None:
        if marks:
            return list(marks)
        return [self.space.nothing] * 32 if self.direction in COMES else None

    def _done(self, hook: Hook, priority: int) -> bool:
        """Whether translated packets have passed it: round lo they come to PREROUTING as any others."""
        if not self.image or hook not in TRANSLATING or priority > NAT_DST:
            return False
        again = isinstance(self.image, Image) and hook is not JOURNEYS[self.direction][0]
        return not again or priority == NAT_DST

    def _enter(self, hook: Hook) -> None:
        """What is attached to the packets stays from hook to hook; which interfaces are known changes."""
        old = self.view
        self.view = encoder(self.space, self.direction, hook, old.states, self.local, mirrored=self.mirrored)
        self.view.mark, self.view.lost, self.view.direct = old.mark, old.lost, old.direct
        self.view.written, self.view.added, self.view.entries = old.written, old.added, old.entries
        self.view.templated = old.templated
        self.view.later = self.later and self._in_parts(hook)
        if isinstance(self.image, Image):
            self.view.dnated = True
            self.view.written = old.written | {name: list(bits) for name, bits in self.image.fields[hook].items()}

    def _in_parts(self, hook: Hook) -> bool:
        """K158: whether fragments come to a hook as such where nothing puts them together. The host itself sends whole
        packets, and puts together what is for it: IPv4 in front of INPUT, IPv6 behind it (K119)."""
        if hook is Hook.INPUT:
            return self.space.family is Family.IPV6
        return self.direction in COMES or hook in ARRIVING

    def _order(self, group: tuple[Station, ...], hook: Hook) -> None:
        """K2: where the order of what shares a priority matters and no listing tells it, say so."""
        if len(group) < 2 or self.alive == self.space.nothing:
            return
        telling = any(s.kind is not Kind.CHAIN for s in group) or any(
            ChainTrace(self.view, t, True, self.ground).impure(c) for s in group for t, c in s.chains
        )
        if telling:
            names = ", ".join(s.name for s in group)
            said = self.early if group[0].priority == DEFRAG else self.doubts
            said.append(f"{hook} at priority {group[0].priority}: the order of {names} is not known")

    def _station(self, station: Station, hook: Hook) -> None:
        match station.kind:
            case Kind.CHAIN:
                for table, chain in station.chains:
                    self.alive = self._walk(table, chain, hook, station.priority)
            case Kind.NAT:
                self._nat(station, hook)
            case Kind.CONNTRACK:
                if not self.tracked:
                    self._track()
            case Kind.DEFRAG:
                self._gather(hook)
            case _:
                assert_never(station.kind)

    def _walk(self, table: Table, chain: Chain, hook: Hook, priority: int) -> Set:
        before = hook is Hook.INGRESS or (priority <= CONNTRACK and hook in (Hook.PREROUTING, Hook.OUTPUT))
        early = not self.tracked and before
        whole = self.tracked or not before or (hook is not Hook.INGRESS and priority > DEFRAG) or not self._gathers
        if whole is not self.view.whole:
            self.view.whole = whole
            self.view.changed()
        walk = ChainTrace(self.view, table, early, self.ground, self.watch, self.traced, self.turns)
        here = self._at_device(chain, hook)
        passed = walk.base(chain, self.alive & here) | (self.alive & ~here)
        self.visits += walk.visits
        self.sights += [(hook, sight) for sight in walk.sights]
        self.hits += [(hook, hit) for hit in (walk.hits if whole else self._of_first(walk.hits))]
        return passed

    def _of_first(self, hits: Iterable[Hit]) -> Iterator[Hit]:
        """What takes effect on the packets, not on a later fragment alone."""
        for hit in hits:
            if (packets := self.view.of_first(hit.packets)) != self.space.nothing:
                yield replace(hit, packets=packets)

    @property
    def _gathers(self) -> bool:
        """Whether something puts fragments together; else those other than the first are walked by themselves."""
        return self.arranged.gathers[self.space.family]

    def _gather(self, hook: Hook) -> None:
        """Of a packet in fragments all have to pass up to here, tracked or not (K48). K117: what is untracked by now
        stays in fragments, of which the later ones are walked by themselves. Nobody sends fragments into OUTPUT, but by
        raw sockets."""
        if self.tracked or not self._gathers:
            return
        if self.later:  # the tracked ones wait for the others
            self.alive = self.alive & self.view.states[CtState.UNTRACKED]
            return
        self.alive = self.alive & self.view.of_first(self.alive) & self.view.gathered()
        if self.direction in COMES and left_in_parts(self.arranged, self.space.family):
            self.parts = self.alive & self.view.states[CtState.UNTRACKED] & self.space.unknown(FRAGMENT)

    def _later(self) -> Set:
        """The datagrams whose later fragments pass by themselves, untracked in front of reassembly."""
        return _Way(
            self.space, self.arranged, self.direction, self.scope, self.mirrored, self.local, hooks=self.hooks,
            turns=self.turns, marked=self.marked, later=True,
        ).run().arrived  # fmt: skip

    def _rules(self, hook: Hook) -> Iterator[Rule]:
        """All rules of a hook."""
        groups = self.arranged.groups[self.space.family, hook]
        chains = (hung for group in groups for station in group for hung in station.chains)
        return (rule for table, chain in chains for below in table.below(chain) for rule in below.rules)

    def _at_device(self, chain: Chain, hook: Hook) -> Set:
        """The packets that an ingress chain sees: those of its devices."""
        if hook is not Hook.INGRESS or chain.base is None:
            return self.space.everything
        if not chain.base.devices:
            device = LO if self.direction is Direction.LOOPBACK else "their device"
            return self.space.unknown(hangs(chain.base, device))
        return self.view.match(Interface("in", chain.base.devices), ANY_TABLE)

    def _rejects_early(self) -> bool:
        """Whether a packet may be refused before its destination's translation was decided."""
        statements = (s for rule in self._rules(Hook.PREROUTING) for s in rule.statements)
        return any(isinstance(s, End) and s.verdict is Verdict.REJECT for s in statements)

    def _nat(self, station: Station, hook: Hook) -> None:
        """K4: nat chains see the first packets of tracked flows; a translation ends the way through them. Round lo the
        entry is there when the packet comes back in (K133)."""
        if self.direction is Direction.LOOPBACK and hook in (Hook.PREROUTING, Hook.INPUT):
            return
        error = self.space.protocol(self.space.icmp_protocol)  # about a flow that has its entry
        first = self.view.states[CtState.NEW] | (self.view.states[CtState.RELATED] & ~error)
        if hook is Hook.OUTPUT and not self._rejects_early():  # K144
            first = first & ~(self.view.states[CtState.RELATED] & self.view.field(Field.TCP_FLAGS, RESETS))
        for rank in in_ranks(station.chains):
            if len(rank) > 1 and self._contested(rank, self.alive & first, hook):
                names = ", ".join(f"{t.family} {t.name} {c.name}" for t, c in rank)
                self.doubts.append(f"{hook}: the order of the nat chains {names} is not known")
        for table, chain in station.chains:
            walk = ChainTrace(
                self.view, table, False, self.ground, self.watch, self.traced, self.turns, self.wanted,
                self.few and hook in TRANSLATING,
            )  # fmt: skip
            incoming = self.alive & first
            passed = walk.base(chain, incoming)
            self.visits += walk.visits
            self.sights += [(hook, sight) for sight in walk.sights if sight.item.why not in OF_THE_ENTRY]
            self.alive = (self.alive & ~incoming) | passed
            self.hits += [(hook, hit) for hit in walk.hits]
            if (taken := self.space.sets.either(walk.translated)) != self.space.nothing:
                first = first & ~taken
                if hook in TRANSLATING:
                    self.translated = self.translated | taken
                    self.marks = tuple(self.view.bits_of_mark())
        if hook in TRANSLATING and all(map(_all_read, station.chains)):
            self._keeps_destinations()

    def _contested(self, rank: Sequence[tuple[Table, Chain]], incoming: Set, hook: Hook) -> bool:
        """K2: whether some packet's end depends on which of these chains it comes to first: one drops it and one takes
        it, two give it destinations, or one asks for the mark that another gives."""
        nothing, dropped, taken = self.space.nothing, self.space.nothing, self.space.nothing
        marks = [SetMark in table.kinds(chain) for table, chain in rank]
        rules = [[rule for below in table.below(chain) for rule in below.rules] for table, chain in rank]
        asks = [any(Field.MARK in asked_fields(m) for rule in each for m in rule.matches) for each in rules]
        if any(given and asked for at, given in enumerate(marks) for asked in (*asks[:at], *asks[at + 1 :])):
            return True
        for table, chain in rank:
            walk = ChainTrace(self.view.apart(), table, False, self.ground)
            ends = incoming & ~walk.base(chain, incoming)
            takes = self.space.sets.either(walk.translated)
            both = (taken & takes) if hook in TRANSLATING else nothing
            if both | (dropped & takes) | (taken & ends) != nothing:
                return True
            dropped, taken = dropped | ends, taken | takes
        return False

    def _keeps_destinations(self) -> None:
        """First packets that no rule has translated so far have the destination that they came with (K4)."""
        self.view.direct = self.view.states[CtState.NEW] & ~self.translated
        self.view.changed()

    def _track(self) -> None:
        """From here on the state is a variable; what stays untracked is remembered beside it."""
        self.tracked = True
        templated = self.view.states[CtState.NEW]
        self.untracked = self.space.any_state(self.view.states[CtState.UNTRACKED] & self.alive)
        self.templated = self.space.any_state(templated & self.alive)
        self.view.states = {state: self.space.state(state) for state in CtState}
        self.view.entries = True
        if self.direction is not Direction.LOOPBACK:  # round lo a rule may give a zone later (K10)
            self.view.templated = self.space.any_state(templated)
        self.view.changed()


def reach(
    space: PacketVars,
    arranged: Arranged,
    direction: Direction,
    scope: Set,
    *,
    mirrored: bool = False,
    local: Intervals | None = None,
    image: bool | Image = False,
    watch: Watch | None = None,
    traced: Traced = NONE,
    hooks: tuple[Hook, ...] = (),
    marked: bool = False,
    wanted: Collection[Statement] | None = None,
    few: bool = False,
    later: bool = False,
) -> Reach:
    """Walk all packets of `scope` (a part of `packets_of`) along one direction. `image`: from where destinations are
    translated on, as what came out there, whatever mark it got before, or what is known of it. `hooks`: no more than
    these. `marked`: what comes from the wire may have got any mark before. `watch`: note who comes to what is watched;
    `traced`: who comes to these rules. `wanted`: of translations, hits of these alone are asked for; `few`: some hits
    are enough, a chain that translates destinations is left at the first, and nothing but hits is asked for. `later`:
    fragments other than the first, which nothing puts together, told by the headers of their datagrams (K6).
    """
    turns = Turns(space.occurrences, space.nothing) if space.occurrences is not None and watch is not None else None
    way = _Way(
        space, arranged, direction, scope, mirrored, local, image, hooks, watch, traced, turns, marked, wanted, few,
        later,
    )  # fmt: skip
    return way.run()
