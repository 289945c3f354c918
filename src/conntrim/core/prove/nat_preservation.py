"""Connections that a rule translates and that untracking would cut off from their translation.

A nat chain sees the first packet of a tracked flow; what follows it, and every answer, is turned by the entry (K4). So
neither may become untracked. Answers meet raw before they are turned back, with the addresses and ports that the
translation gave them: the answer to a connection redirected from port 8080 to 80 leaves from port 80.

What the host itself opens leaves with an address of its own; where it has but one, no masquerading changes that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.circumstances import LINK_LOCAL
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nat import Nat, NatKind
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.service import Direction, Hook
from conntrim.core.netfilter.hooks import CONNTRACK, JOURNEYS, Arranged, Kind
from conntrim.core.netfilter.nat import spans
from conntrim.core.prove.cube_cover import all_of, project
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import SYN
from conntrim.core.prove.nat_effects import only
from conntrim.core.prove.packet_vars import IIF, OIF, PacketVars
from conntrim.core.prove.reachability import SOURCES, Reach, packets_of, reach

IN, OUT, THROUGH, LO = Direction.INBOUND, Direction.OUTBOUND, Direction.FORWARDED, Direction.LOOPBACK

ANSWERED: dict[tuple[Hook, Direction], tuple[Direction, ...]] = {
    (Hook.PREROUTING, IN): (OUT, THROUGH), (Hook.PREROUTING, THROUGH): (OUT, THROUGH),
    (Hook.OUTPUT, OUT): (IN, LO), (Hook.OUTPUT, LO): (IN, LO),
    (Hook.INPUT, IN): (OUT,), (Hook.INPUT, LO): (LO,), (Hook.POSTROUTING, THROUGH): (IN,),
}  # fmt: skip
"""Where the answers to packets that are translated at a hook meet raw. What this host itself sends keeps its port."""

ELSEWHERE: dict[Hook, tuple[Field, ...]] = {
    Hook.PREROUTING: (OIF,), Hook.OUTPUT: (IIF, OIF), Hook.INPUT: (), Hook.POSTROUTING: (IIF,),
}  # fmt: skip
"""What of a packet's way a translation at a hook may change, or an answer does not show."""

CLASSES: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = (
    ((1, 511), (1, 511)), ((512, 1023), (600, 1023)), ((1024, 65535), (1024, 65535)),
)  # fmt: skip
"""Source ports, and those that one of them may become where the rule names none (K44)."""

KEPT_ALONE = Intervals.of((512, 599))
"""Ports that none becomes and that stay where they are free (K44)."""

OWN_ADDRESS = frozenset({NatKind.MASQUERADE, NatKind.REDIRECT})
"""Translations that give an address of the host's own."""

MOST_ADDRESSES = 64
"""Addresses of a host that are told one by one."""
MANY, FEW = 1024, 16
"""Ports: of so many that the kernel picks from, a service's few are picked seldom."""


REQUESTS_UNTRACKED = "may translate packets that become untracked"
BY_CHANCE = ", if one keeps or is given just that port"
BOUND = ", where a program binds to another address than that of the interface by which they leave"
ANSWERED_UNTRACKED = "may translate connections whose answers become untracked"
MOST_CUTS = 8
"""Rules of one direction that are told one by one."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Connections told by their first packets, which translation they lose and why; `round_lo`: that of their source,
    and they go from this host to itself. `seldom`: one of thousands, or none.
    """

    why: str
    packets: Set
    universe: Set
    direction: Direction
    at: tuple[Hook, Nat]
    round_lo: bool = False
    seldom: bool = False


@dataclass(frozen=True, slots=True)
class _Lost:
    """What becomes untracked of one direction: `requests`; and by translation, what it may turn into connections whose
    answers do, `by_chance` or else."""

    requests: Set
    answers: Mapping[tuple[Hook, Nat], Set] = field(default_factory=dict)
    by_chance: Mapping[tuple[Hook, Nat], Set] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """The question for one family; `arranged` are the rule sets before and after, `own` what programs of this host may
    open, `local` its addresses if known, `served` what comes from the port of a service of its own."""

    space: PacketVars
    arranged: tuple[Arranged, Arranged]
    own: Set
    local: Intervals | None
    served: Set
    _known: dict[tuple[Direction, bool], Set] = field(default_factory=dict, compare=False)
    """What becomes untracked: one answer a direction, for all the rules that may translate there."""
    _found: dict[Hook, tuple[Nat, ...]] = field(default_factory=dict, compare=False)
    _answers: dict[tuple[Hook, tuple[Direction, ...], Set, bool], dict[Nat, Set]] = field(
        default_factory=dict, compare=False
    )
    _alike: dict[tuple[Hook, Set, Intervals], Set] = field(default_factory=dict, compare=False)
    _addresses: dict[tuple[Direction, Field], Intervals | None] = field(default_factory=dict, compare=False)

    def cuts(self) -> Iterator[Cut]:
        """Every rule that loses connections to the change. Of those that this host opens from a service's TCP port,
        which none does while the service runs (K74), one is told, and of those that a rule loses by chance some."""
        if not self.arranged[0].nat[self.space.family]:
            return
        for direction in Direction:
            servers = self.served & self.space.protocol(Protocol.TCP) if direction is OUT else self.space.nothing
            lost = self._lost(direction, ~servers)
            alone = lost.requests == self.space.nothing and not lost.answers
            rare = list(self._cuts(direction, lost, few=True)) if alone else []
            told = {cut.at for cut in rare}
            rest = replace(lost, by_chance={at: found for at, found in lost.by_chance.items() if at not in told})
            yield from self._told((*rare, *self._cuts(direction, rest)))
            yield from self._example(direction, servers)

    def _example(self, direction: Direction, among: Set) -> Iterator[Cut]:
        """One that some of these lose their translation by, if there is any."""
        requests = _Lost(self._newly(direction, mirrored=False) & among)
        some = next(self._cuts(direction, requests, few=True), None)
        if some is None and among != self.space.nothing:
            some = next(self._cuts(direction, self._lost(direction, among)), None)
        if some is not None:
            yield some

    def _lost(self, direction: Direction, among: Set) -> _Lost:
        answers, by_chance = (self._answered(direction, among, seldom=seldom) for seldom in (False, True))
        return _Lost(self._newly(direction, mirrored=False) & among, answers, by_chance)

    def _cuts(self, direction: Direction, lost: _Lost, *, few: bool = False) -> Iterator[Cut]:
        """Those of one direction: only packets that may be lost are walked, through every chain on their way. `few`:
        where destinations are translated, the first rule that does so may be the only one."""
        nothing, either = self.space.nothing, self.space.sets.either
        requests, answers, by_chance = lost.requests, lost.answers, lost.by_chance
        universe = self._openers(direction)
        scope = universe & either([requests, *dict.fromkeys((*answers.values(), *by_chance.values()))])
        if scope == nothing:
            return
        whole = self.space.any_state(universe)
        wanted = None if requests != nothing else {nat for _, nat in (*answers, *by_chance)}
        walk = reach(self.space, self.arranged[0], direction, scope, local=self.local, wanted=wanted, few=few)
        for hook, hit in walk.hits:
            if not isinstance(hit.statement, Nat):
                continue
            at = hook, hit.statement
            answered, seldom = (found.get(at, nothing) for found in (answers, by_chance))
            if nothing == requests == answered == seldom:
                continue
            packets = self.space.any_state(hit.packets) & self._turned(direction, hit.statement)
            if packets == nothing:
                continue
            round_lo = direction is LO and hook is Hook.POSTROUTING
            bound = self._bound(direction, hit.statement)
            asked = (
                (requests & ~bound, REQUESTS_UNTRACKED, round_lo, ""),
                (requests & bound, REQUESTS_UNTRACKED, False, BOUND),
                (answered, ANSWERED_UNTRACKED, False, ""),
                (seldom, ANSWERED_UNTRACKED, False, BY_CHANCE),
            )
            for those, why, lo, rare in (each for each in asked if each[0] != nothing):
                if (mine := packets & those) != nothing:
                    yield Cut(f"{hit.rule.where} {why}{rare}", mine, whole, direction, at, lo, bool(rare))

    def _answered(self, direction: Direction, among: Set, *, seldom: bool) -> dict[tuple[Hook, Nat], Set]:
        """By translation, the packets that it may turn into connections whose answers become untracked; `seldom`: those
        that do by chance, and without it all others. `among` names source ports, of ways on which those stay."""
        found: dict[tuple[Hook, Nat], Set] = {}
        for hook in JOURNEYS[direction]:
            nothing, ways = self.space.nothing, ANSWERED.get((hook, direction), ())
            if seldom and hook not in SOURCES:
                continue
            ways = tuple(way for way in ways if self._newly(way, mirrored=True) & among != nothing)
            key = hook, ways, among, seldom
            if key not in self._answers:
                asked = (nat for nat in (self._translations(hook) if ways else ()) if self._may_meet(hook, nat, ways))
                each = {nat: self._turned_into(hook, nat, ways, among, seldom=seldom) for nat in asked}
                self._answers[key] = {nat: packets for nat, packets in each.items() if packets != nothing}
            found |= {(hook, nat): packets for nat, packets in self._answers[key].items()}
        return found

    def _may_meet(self, hook: Hook, nat: Nat, ways: tuple[Direction, ...]) -> bool:
        """Whether the one address that a translation names is among those of connections whose answers become
        untracked: so it is of few of the thousands that a node of Kubernetes has."""
        if nat.addresses is None or nat.addresses[0] != nat.addresses[1] or nat.elsewhere or nat.kind in OWN_ADDRESS:
            return True
        address = Field.SRC if hook in SOURCES else Field.DST
        ends = [self._ends(way, address) for way in ways]
        return any(each is None or nat.addresses[0] in each for each in ends)

    def _turned_into(self, hook: Hook, nat: Nat, ways: tuple[Direction, ...], among: Set, *, seldom: bool) -> Set:
        found = []
        for way in ways:
            after, few = self._newly(way, mirrored=True) & among, self._few(hook, nat, way)
            if few != self.space.nothing:
                after = after & (few if seldom else ~few)
            elif seldom:
                continue
            found.append(self._before_it(hook, nat, after))
        return self.space.sets.either(found)

    def _few(self, hook: Hook, nat: Nat, way: Direction) -> Set:
        """TCP connections that would have one of a few ports, of thousands that a source may keep or get (K44): who
        does not mean that port has it by chance, and no client of TCP means a server's."""
        many = nat.ports is None or nat.ports[1] - nat.ports[0] >= MANY
        ports = self._ends(way, Field.SPORT) if many and hook in SOURCES else None
        if ports is None:
            return self.space.nothing
        single = Intervals(tuple(r for r in ports.ranges if r[1] - r[0] < FEW))
        return self.space.field(Field.SPORT, single) & self.space.protocol(Protocol.TCP)

    def _translations(self, hook: Hook) -> tuple[Nat, ...]:
        """What the nat chains of a hook may do."""
        if hook not in self._found:
            self._found[hook] = tuple(dict.fromkeys(self._found_at(hook)))
        return self._found[hook]

    def _found_at(self, hook: Hook) -> Iterator[Nat]:
        for group in self.arranged[0].groups[self.space.family, hook]:
            for station in group:
                for table, chain in station.chains if station.kind is Kind.NAT else ():
                    for below in table.below(chain):
                        for rule in below.rules:
                            yield from (s for s in rule.statements if isinstance(s, Nat))

    def _told(self, found: Iterable[Cut]) -> Iterator[Cut]:
        """Each by itself, as long as they are few; a node of Kubernetes has thousands that lose the same."""
        every = list(found)
        for cuts in ([cut for cut in every if not cut.seldom], [cut for cut in every if cut.seldom]):
            yield from cuts[:MOST_CUTS]
            if rest := cuts[MOST_CUTS:]:
                why = f"{rest[0].why}, as {len(rest) - 1:,} rules more" if len(rest) > 1 else rest[0].why
                lo, packets = all(cut.round_lo for cut in rest), self.space.sets.either([cut.packets for cut in rest])
                yield replace(rest[0], why=why, packets=packets, round_lo=lo)

    def _openers(self, direction: Direction) -> Set:
        """The packets that open flows: over TCP a bare SYN."""
        space = self.space
        ported = space.values(Field.PROTOCOL, Intervals.of(*(int(p) for p in WITH_PORTS)))
        syn = space.field(Field.TCP_FLAGS, Intervals.of(SYN))
        opening = (ported & ~space.protocol(Protocol.TCP)) | syn
        mine = self.own if direction in (OUT, LO) else space.everything
        return self._packets(direction) & mine & opening & space.state(CtState.NEW)

    def _packets(self, direction: Direction, mirrored: bool = False) -> Set:
        """All packets of a direction; on lo both ends are the host's own."""
        found = packets_of(self.space, direction, self.local, mirrored)
        if direction is LO and self.local:
            ours = self.local | LOOPBACK
            found = found & self.space.field(Field.SRC, ours) & self.space.field(Field.DST, ours)
        return found

    def _newly(self, direction: Direction, *, mirrored: bool) -> Set:
        """Connections of which some packet going this way becomes untracked; `mirrored`: told by what it answers."""
        if (direction, mirrored) not in self._known:
            self._known[direction, mirrored] = self._becoming_untracked(direction, mirrored)
        return self._known[direction, mirrored]

    def _becoming_untracked(self, direction: Direction, mirrored: bool) -> Set:
        space, local = self.space, self.local
        scope = self._packets(direction, mirrored)
        ways: list[Reach] = [
            reach(space, before_tracking(a), direction, scope, mirrored=mirrored, local=local) for a in self.arranged
        ]
        found = ways[1].untracked & ~ways[0].untracked
        return self._without(found, Field.TCP_FLAGS, Field.CT_STATE)

    def _turned(self, direction: Direction, nat: Nat) -> Set:
        """The packets that a translation may change; the host's only address is what it would be masqueraded to."""
        if direction is not OUT or nat.kind is not NatKind.MASQUERADE or not self.local:
            return self.space.everything
        global_ = self.local - LINK_LOCAL
        single = len(global_.ranges) == 1 and global_.ranges[0][0] == global_.ranges[0][1]
        return ~self.space.field(Field.SRC, self.local) if single else self.space.everything

    def _bound(self, direction: Direction, nat: Nat) -> Set:
        """What a program binds to another address than the kernel gives, which is the one that masquerading gives: that
        of the interface by which a connection leaves, and round lo the one that it goes to (K143)."""
        if nat.kind is not NatKind.MASQUERADE or not self.local or direction not in (OUT, LO):
            return self.space.nothing
        return self.space.field(Field.SRC, self.local) if direction is OUT else self._bound_on_lo(self.local)

    def _bound_on_lo(self, local: Intervals) -> Set:
        """From a service's port alone: who asks the service itself is followed packet by packet."""
        return bound_on_lo(self.space, local) & self.served

    def _before_it(self, hook: Hook, nat: Nat, after: Set) -> Set:
        """The packets that a translation may turn into such connections."""
        space = self.space
        source = hook in SOURCES
        address, port = (Field.SRC, Field.SPORT) if source else (Field.DST, Field.DPORT)
        addresses, ports = spans(nat)
        ours = self.local | LOOPBACK if self.local else None
        to = ours if nat.kind in OWN_ADDRESS else addresses
        if not source and ports is not None and to is addresses and to is not None and to.size == 1:
            ((only, _),) = to.ranges
            return self._before_one(hook, space.where(after, address, only), ports)
        after = after if to is None else after & space.field(address, to)
        if ports is not None:
            return self._without(after & space.field(port, ports), port, address, *ELSEWHERE[hook])
        if not source:
            return self._without(after, address, *ELSEWHERE[hook])
        parts = [
            space.field(port, Intervals.of(old))
            & self._without(after & space.field(port, Intervals.of(new)), port, address, *ELSEWHERE[hook])
            for old, new in CLASSES
        ]
        kept = self._without(after & space.field(port, KEPT_ALONE), address, *ELSEWHERE[hook])
        return space.sets.either([*parts, kept])

    def _before_one(self, hook: Hook, after: Set, ports: Intervals) -> Set:
        """The same for one destination, of which `after` are the connections: a node of Kubernetes has thousands, and
        of most of them the answers become untracked in the same way."""
        key = hook, after, ports
        if key not in self._alike:
            port = self.space.field(Field.DPORT, ports)
            self._alike[key] = self._without(after & port, Field.DPORT, *ELSEWHERE[hook])
        return self._alike[key]

    def _ends(self, way: Direction, address: Field) -> Intervals | None:
        """The addresses that connections have whose answers become untracked; None: too many to name."""
        if (way, address) not in self._addresses:
            found = self._newly(way, mirrored=True)
            self._addresses[way, address] = all_of(self.space, address, project(self.space, address, found))
        return self._addresses[way, address]

    def _without(self, found: Set, *keys: Field) -> Set:
        """Whatever these properties are."""
        numbers = sorted({n for key in keys for n in self.space.bits[key]})
        return found.exists(self.space.sets.literals(*numbers))


def bound_on_lo(space: PacketVars, local: Intervals) -> Set:
    """What goes from one of the host's addresses to another: round lo a packet comes from where it goes to, unless a
    program binds (K143)."""
    single = [low for low, high in local.ranges if low == high][:MOST_ADDRESSES]
    spans = [Intervals.of(own) for own in single]
    return space.sets.either([space.field(Field.SRC, own) & ~space.field(Field.DST, own) for own in (*spans, LOOPBACK)])


def before_tracking(arranged: Arranged) -> Arranged:
    """What decides whether a packet is tracked."""
    return only(arranged, lambda station: station.priority <= CONNTRACK)
