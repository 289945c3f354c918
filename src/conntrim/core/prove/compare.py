"""What a second rule set newly admits and newly drops: for strangers, for connections, for errors about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.ruleset import Field, Ruleset, TcpFlag
from conntrim.core.model.service import Direction
from conntrim.core.model.tcp_flags import flags_where
from conntrim.core.netfilter.hooks import FAMILIES
from conntrim.core.netfilter.icmp import ICMP, any_code
from conntrim.core.netfilter.states import CHECKED, SANE
from conntrim.core.prove.affected_set import along, region
from conntrim.core.prove.cube_cover import Box, boxes
from conntrim.core.prove.diagram import NotDecided, Set, deciding
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.orders import orders
from conntrim.core.prove.packet_text import describe
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Change, Pair
from conntrim.core.prove.reachability import Reach, existing, packets_of, reach, told_of
from conntrim.core.prove.states import known, settled, strangers
from conntrim.core.prove.translation import by_kind, marked, met
from conntrim.core.prove.watch import Watch

MOST_REGIONS = 8
"""Boxes shown of one difference."""

CARRIED = flags_where(lambda flags: bool(flags & (TcpFlag.ACK | TcpFlag.RST)) and flags & CHECKED in SANE)
"""Flags of packets that an established connection carries."""


class Population(StrEnum):
    """Whose packets."""

    STRANGERS = "strangers"
    """Packets that belong to no connection that conntrack knows."""
    CONNECTIONS = "connections"
    """Packets of established connections: ESTABLISHED, or UNTRACKED where raw rules say so."""
    ERRORS = "errors"
    """ICMP errors about established connections: RELATED, or UNTRACKED."""


@dataclass(frozen=True, slots=True)
class Region:
    """A box of packets in words, the part of all packets that it is, one of its packets, and what must hold beside.

    `conditions` are questions about matches that nobody here understands, and the answer under which it holds.
    """

    words: str
    share: Fraction
    witness: Packet
    conditions: dict[str, bool]


@dataclass(frozen=True, slots=True)
class Difference:
    """Packets of one family, direction and population that fare differently.

    `admitted`: AFTER newly admits them; else it newly drops them. `share` is the exact part of all such packets,
    `whole` whether `regions` cover all of it.
    """

    family: Family
    direction: Direction
    population: Population
    admitted: bool
    share: Fraction
    regions: tuple[Region, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """All differences, the largest first of each direction; `undecided` says what could not be compared, and why."""

    differences: tuple[Difference, ...]
    undecided: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the two rule sets are known to treat every packet alike."""
        return not self.differences and not self.undecided


DIRECTIONS = (Direction.INBOUND, Direction.FORWARDED, Direction.OUTBOUND)


def compare(
    before: Ruleset,
    after: Ruleset,
    local: Intervals | None = None,
    loose: bool = True,
    tick: Callable[[], None] = lambda: None,
) -> Comparison:
    """Compare two rule sets for all packets. `local` are the host's addresses where they are known.

    `tick` is called now and then and may raise `NotDecided`; what was found until then is kept.
    """
    told = [(order, _compared(pair, local, loose, tick)) for pair, order in orders((before, after))]
    first = told[0][1]
    open_ = [f"what differs is another thing if {order}" for order, c in told if c.differences != first.differences]
    unread = [f"not every rule could be read: {what}" for what in before.unread + after.unread]
    undecided = dict.fromkeys([*unread, *(why for _, c in told for why in c.undecided), *open_])
    return replace(first, undecided=tuple(undecided))


def _compared(
    rulesets: tuple[Ruleset, Ruleset], local: Intervals | None, loose: bool, tick: Callable[[], None]
) -> Comparison:
    """The same for one order of the chains."""
    found: list[Difference] = []
    undecided: list[str] = []
    change, remarks = Change.of(*rulesets), dict.fromkeys(rulesets[0].remarks + rulesets[1].remarks)
    for family in families_of(*rulesets):
        try:
            with deciding():
                space, pair = PacketVars(family, change.names, tick), change.pair(family)
                for direction in DIRECTIONS:
                    question = Question(space, direction, pair, told_of(local, family), loose)
                    found += question.differences()
                    remarks |= dict.fromkeys(question.doubts)
                    undecided += question.undecided
        except NotDecided as why:
            undecided.append(f"{_FAMILY[family]}: {why}")
    return Comparison(tuple(found), tuple(dict.fromkeys(undecided)), tuple(remarks))


_FAMILY = {Family.IPV4: "IPv4", Family.IPV6: "IPv6"}


def families_of(before: Ruleset, after: Ruleset) -> tuple[Family, ...]:
    """The families that any table is about."""
    seen = {f for r in (before, after) for t in r.tables for f in FAMILIES.get(t.family, ())}
    return tuple(f for f in Family if f in seen)


class Question:
    """Both rule sets for one family and direction."""

    def __init__(
        self, space: PacketVars, direction: Direction, pair: Pair, local: Intervals | None, loose: bool,
        *, more: Set | None = None, watch: Watch | None = None, translated: bool = True,
    ) -> None:  # fmt: skip
        """`more`: packets to follow although nothing that changed can meet them; `watch` as for `reach`,
        `translated` as for `Pair.along`."""
        self.space, self.loose, self.direction = space, loose, direction
        self.all = packets_of(space, direction, local)
        differing = region(space, direction, along(pair.changed, direction), local)
        self.scope = self.all & (differing | (more or space.nothing))
        arranged = pair.along(direction, translated=translated)
        self.view = MatchEncoder(space, {})
        self.before, self.after = (reach(space, a, direction, self.scope, local=local, watch=watch) for a in arranged)
        self.doubts = self.before.doubts + self.after.doubts
        self.undecided = [
            *met(space, pair.whole(), arranged, direction, self.scope, local=local),
            *marked(space, direction, self.before, self.after),
        ]  # fmt: skip

    def translated(self) -> Set:
        """Strangers' packets that either rule set sends elsewhere; where they differ in that, nothing is decided."""
        ways = []
        for way in (self.before, self.after):
            new = strangers(self.view, way.untracked, self.loose)[CtState.NEW]
            ways.append(by_kind(self.space, way, new))
        nothing = self.space.nothing
        for name in ways[0].keys() | ways[1].keys():
            if ways[0].get(name, nothing) != ways[1].get(name, nothing):
                self.undecided.append(f"{self.direction}: the two rule sets translate different packets by {name}")
        return self.space.sets.either([found for way in ways for found in way.values()])

    def differences(self) -> Iterator[Difference]:
        """What differs, population by population."""
        same = self.before.arrived == self.after.arrived and self.before.untracked == self.after.untracked
        if same and not self.before.hits and not self.after.hits:
            return
        elsewhere = self.translated()
        for population in Population:
            universe = self.universe(population)
            if population is Population.STRANGERS:
                universe = universe & ~elsewhere
            old, new = (self.admitted(r, population) & universe for r in (self.before, self.after))
            for admitted, part in ((True, new & ~old), (False, old & ~new)):
                if part != self.space.nothing:
                    yield self._difference(population, admitted, part, universe)

    def admitted(self, way: Reach, population: Population) -> Set:
        """The packets of a population that a rule set lets through."""
        match population:
            case Population.STRANGERS:
                states = strangers(self.view, way.untracked, self.loose)
            case Population.CONNECTIONS:
                states = known(self.view, way.untracked, CtState.ESTABLISHED)
            case Population.ERRORS:
                states = known(self.view, way.untracked, CtState.RELATED)
        return settled(self.space, way.arrived, states)

    def universe(self, population: Population) -> Set:
        """All packets of a population."""
        stateless = self.all.exists(self.space.sets.literals(*self.space.bits[Field.CT_STATE]))
        stateless = stateless & existing(self.space, self.direction)
        if population is Population.STRANGERS:
            return stateless
        space = self.space
        if population is Population.ERRORS:
            return stateless & space.field(space.icmp, any_code(ICMP[space.family].defined))
        tcp = space.protocol(Protocol.TCP)
        with_ports = space.values(Field.PROTOCOL, Intervals.of(*(int(p) for p in WITH_PORTS)))
        return stateless & with_ports & (~tcp | space.field(Field.TCP_FLAGS, CARRIED))

    def _difference(self, population: Population, admitted: bool, part: Set, universe: Set) -> Difference:
        found, whole = boxes(self.space, part, universe, MOST_REGIONS)
        count = self.space.sets.variables
        share = Fraction(part.sat_count(count), universe.sat_count(count))
        regions = tuple(self._region(box) for box in found)
        return Difference(self.space.family, self.direction, population, admitted, share, regions, whole)

    def _region(self, box: Box) -> Region:
        return Region(describe(self.space, box), box.share, box.witness, box.conditions)
