"""Connections that a rule translates and that untracking would cut off from their translation.

A nat chain sees the first packet of a tracked flow; what follows it, and every answer, is turned by the entry (K4). So
neither may become untracked. Answers meet raw before they are turned back, with the addresses and ports that the
translation gave them: the answer to a connection redirected from port 8080 to 80 leaves from port 80.

What the host itself opens leaves with an address of its own; where it has but one, no masquerading changes that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.circumstances import LINK_LOCAL
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.marks import SetMark
from conntrim.core.model.nat import Nat, NatKind
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.ruleset import Field, Rule, Table
from conntrim.core.model.service import Direction, Hook
from conntrim.core.netfilter.hooks import CONNTRACK, Arranged, Kind, Station
from conntrim.core.netfilter.nat import spans
from conntrim.core.prove.chains import Hit
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import SYN
from conntrim.core.prove.packet_vars import IIF, OIF, PacketVars
from conntrim.core.prove.reachability import Reach, packets_of, reach

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

UNUSUAL = Intervals.of((0, 1023))
"""Source ports that no client opens a TCP connection from, but for the r-services of old."""


MOST_CUTS = 8
"""Rules of one direction that are told one by one."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Connections told by their first packets, and why they lose their translation."""

    why: str
    packets: Set
    universe: Set
    direction: Direction


@dataclass(frozen=True, slots=True)
class Kept:
    """The question for one family; `arranged` are the rule sets before and after, `own` what programs of this host may
    open, `local` its addresses if known."""

    space: PacketVars
    arranged: tuple[Arranged, Arranged]
    own: Set
    local: Intervals | None
    _known: dict[tuple[Direction, bool], Set] = field(default_factory=dict, compare=False)
    """What becomes untracked: one answer a direction, for all the rules that may translate there."""

    def cuts(self) -> Iterator[Cut]:
        """Every rule that loses connections to the change."""
        if not self.arranged[0].nat[self.space.family]:
            return
        before = without_filters(self.arranged[0])
        for direction in Direction:
            universe = self._openers(direction)
            way = reach(self.space, before, direction, universe, local=self.local)
            hits = [(hook, hit) for hook, hit in way.hits if isinstance(hit.statement, Nat)]
            found = [c for hook, hit in hits for c in self._candidates(direction, hook, hit, self._stateless(universe))]
            yield from self._told(self._confirmed(direction, found))

    def _candidates(self, direction: Direction, hook: Hook, hit: Hit, universe: Set) -> Iterator[tuple[Rule, Cut]]:
        """What a rule may lose, with chains that only stop packets left out."""
        nat = hit.statement
        assert isinstance(nat, Nat), "only these are asked about"
        packets = self._stateless(hit.packets) & self._turned(direction, nat)
        answered = [self._before_it(hook, nat, way) for way in ANSWERED.get((hook, direction), ())]
        for lost, why in (
            (self._newly(direction, mirrored=False), "may translate packets that become untracked"),
            (self.space.sets.either(answered), "may translate connections whose answers become untracked"),
        ):
            if (mine := packets & lost) != self.space.nothing:
                yield hit.rule, Cut(f"{hit.rule.where} {why}", mine, universe, direction)

    def _confirmed(self, direction: Direction, found: list[tuple[Rule, Cut]]) -> Iterator[Cut]:
        """The same with every chain on the way, asked once for all of them: what a filter stops is not translated."""
        scope = self.space.sets.either([cut.packets for _, cut in found]) & self._openers(direction)
        if scope == self.space.nothing:
            return
        met: dict[int, Set] = {}
        for _, hit in reach(self.space, self.arranged[0], direction, scope, local=self.local).hits:
            met[id(hit.rule)] = met.get(id(hit.rule), self.space.nothing) | self._stateless(hit.packets)
        for rule, cut in found:
            packets = cut.packets & met.get(id(rule), self.space.nothing)
            if packets != self.space.nothing:
                yield replace(cut, packets=packets)

    def _told(self, found: Iterable[Cut]) -> Iterator[Cut]:
        """Each by itself, as long as they are few; a node of Kubernetes has thousands that lose the same."""
        cuts = list(found)
        yield from cuts[:MOST_CUTS]
        if rest := cuts[MOST_CUTS:]:
            why = f"{rest[0].why}, as {len(rest) - 1:,} rules more" if len(rest) > 1 else rest[0].why
            yield replace(rest[0], why=why, packets=self.space.sets.either([cut.packets for cut in rest]))

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

    def _before_it(self, hook: Hook, nat: Nat, way: Direction) -> Set:
        """The packets that a translation may turn into connections whose answers become untracked."""
        space, after = self.space, self._newly(way, mirrored=True)
        source = hook in (Hook.POSTROUTING, Hook.INPUT)
        address, port = (Field.SRC, Field.SPORT) if source else (Field.DST, Field.DPORT)
        addresses, ports = spans(nat)
        ours = self.local | LOOPBACK if self.local else None
        to = ours if nat.kind in (NatKind.MASQUERADE, NatKind.REDIRECT) else addresses
        after = after if to is None else after & space.field(address, to)
        if ports is not None:
            return self._without(after & space.field(port, ports), port, address, *ELSEWHERE[hook])
        if not source:
            return self._without(after, address, *ELSEWHERE[hook])
        usual = ~(space.protocol(Protocol.TCP) & space.field(port, UNUSUAL))
        parts = [
            space.field(port, Intervals.of(old))
            & self._without(after & space.field(port, Intervals.of(new)), port, address, *ELSEWHERE[hook])
            for old, new in CLASSES
        ]
        return usual & space.sets.either(parts)

    def _stateless(self, found: Set) -> Set:
        return self._without(found, Field.CT_STATE)

    def _without(self, found: Set, *keys: Field) -> Set:
        """Whatever these properties are."""
        numbers = sorted({n for key in keys for n in self.space.bits[key]})
        return found.exists(self.space.sets.literals(*numbers))


def before_tracking(arranged: Arranged) -> Arranged:
    """What decides whether a packet is tracked."""
    return _only(arranged, lambda station: station.priority <= CONNTRACK)


def without_filters(arranged: Arranged) -> Arranged:
    """What decides whether a packet may be translated: all but chains that can only stop it."""
    return _only(
        arranged,
        lambda s: s.kind is not Kind.CHAIN or s.priority <= CONNTRACK or any(_marks(t) for t, _ in s.chains),
    )


def _marks(table: Table) -> bool:
    return any(isinstance(s, SetMark) for chain in table.chains for rule in chain.rules for s in rule.statements)


def _only(arranged: Arranged, wanted: Callable[[Station], bool]) -> Arranged:
    groups = {
        where: tuple(kept for group in found if (kept := tuple(s for s in group if wanted(s))))
        for where, found in arranged.groups.items()
    }
    return replace(arranged, groups=groups)
