"""What a second rule set newly admits and newly drops: of unsolicited packets, of connections, of errors about them,
of whole connections packet by packet; and what else differs that no packet by itself shows.

*The same* is said only of rule sets that are equal on every path, loopback among them, in every ct state, where the
same packets are untracked, translated and marked, and come to what counts or is read by others. What was left out is
named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

from conntrim.core.model.address import Family
from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.prove.alignment import twins
from conntrim.core.prove.cube_cover import Box, boxes
from conntrim.core.prove.diagram import NotDecided, Set, deciding
from conntrim.core.prove.dialogues import Dialogues
from conntrim.core.prove.flows import Flow, conversation
from conntrim.core.prove.followed import Translations
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.later_fragments import later_fragments
from conntrim.core.prove.orders import orders
from conntrim.core.prove.packet_text import describe
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Change
from conntrim.core.prove.populations import PACKETS, Population, Question, families_of
from conntrim.core.prove.reachability import packets_of, told_of
from conntrim.core.prove.traces_left import declared, expected, expected_and_translated, left_out, traces_left
from conntrim.core.prove.turns import Occurrences
from conntrim.core.prove.unusual import unusual

MOST_REGIONS = 8
"""Boxes shown of one difference."""

ALL = (Direction.INBOUND, Direction.FORWARDED, Direction.OUTBOUND, Direction.LOOPBACK)


@dataclass(frozen=True, slots=True)
class Region:
    """A box of packets in words, the part of all packets that it is, one of its packets, and what must hold beside.

    `conditions` are questions about matches that are unknown to the model, and the answer under which it holds;
    `earlier` are the packets of its connection before the witness, where whole connections are compared.
    """

    words: str
    share: Fraction
    witness: Packet
    conditions: dict[str, bool]
    earlier: tuple[Packet, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Packets of one family, direction and population that are treated differently.

    `admitted`: AFTER newly admits them; else it newly drops them. `to`: where they are translated to; the packets are
    told as they came. `share` is the exact part of all such packets,
    `whole` whether `regions` cover all of it.
    """

    family: Family
    direction: Direction
    population: Population
    admitted: bool
    share: Fraction
    regions: tuple[Region, ...]
    whole: bool
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """All differences, the largest first of each direction; `others` are what differs beside what packets are let
    through: translations, zones, marks, what counts packets; `undecided` says what could not be compared, and why."""

    differences: tuple[Difference, ...]
    others: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the two rule sets are known to treat every packet alike."""
        return not self.differences and not self.others and not self.undecided


def compare(
    before: Ruleset,
    after: Ruleset,
    local: Intervals | None = None,
    loose: bool = True,
    tick: Callable[[], None] = lambda: None,
) -> Comparison:
    """Compare two rule sets for all packets. `local` are the host's addresses where they are known.

    `tick` is called now and then and may raise `NotDecided`; what was found until then is kept. K2: of chains whose
    order no listing shows, what is no difference in every order is not decided.
    """
    by_order = [(order, _compared(pair, local, loose, tick)) for pair, order in orders((before, after))]
    first = by_order[0][1]
    unlike = [order for order, c in by_order if (c.differences, c.others) != (first.differences, first.others)]
    more = f" (and in {len(unlike) - 1} more orders)" if unlike[1:] else ""
    open_ = [f"what differs is another thing if {order}{more}" for order in unlike[:1]]
    always = tuple(d for d in first.differences if all(d in c.differences for _, c in by_order))
    unread = [f"not every rule could be read: {what}" for what in before.unread + after.unread]
    undecided = dict.fromkeys(
        [*unread, *left_out(before, after), *(why for _, c in by_order for why in c.undecided), *open_]
    )
    common = set(first.others).intersection(*(c.others for _, c in by_order))
    others = [*declared(before, after), *filter(common.__contains__, first.others)]
    return replace(first, differences=always, others=tuple(dict.fromkeys(others)), undecided=tuple(undecided))


def _compared(
    rulesets: tuple[Ruleset, Ruleset], local: Intervals | None, loose: bool, tick: Callable[[], None]
) -> Comparison:
    """The same for one order of the chains."""
    found: list[Difference] = []
    others: list[str] = []
    undecided: list[str] = []
    change, remarks = Change.of(*rulesets), dict.fromkeys(rulesets[0].remarks + rulesets[1].remarks)
    for family in families_of(*rulesets):
        try:
            with deciding():
                asked = Occurrences(twins(*change.rulesets))
                space, pair = PacketVars(family, change.names, tick, asked), change.pair(family)
                ours = told_of(local, family) or Intervals()
                each = _Family(Inputs(space, pair, [], ours, loose, translations=True, refusals=True))
                found += each.differences()
                remarks |= dict.fromkeys(each.remarks)
                others += each.others
                undecided += each.undecided
        except NotDecided as why:
            undecided.append(f"{family.label}: {why}")
    return Comparison(tuple(found), tuple(dict.fromkeys(others)), tuple(dict.fromkeys(undecided)), tuple(remarks))


@dataclass(slots=True)
class _Family:
    """One family of a comparison; thrown away at its end."""

    inputs: Inputs
    shown: dict[tuple[Direction, bool], Set] = field(default_factory=dict)
    """The packets of differences that were found, by direction and whether AFTER admits them."""
    remarks: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)

    def differences(self) -> Iterator[Difference]:
        """What differs, direction by direction: packets by population, then whole connections."""
        for direction in ALL:
            question, found = self.inputs.question(direction), list[Difference]()
            self.remarks += question.early
            if question.doubts:
                self.undecided += question.doubts
                continue
            found += self._populations(question)
            found += self._dialogues(direction)
            found += self._translated(direction)
            yield from found
            left = list(traces_left(self.inputs, direction))
            if not found and not left:  # else they are told with the others
                left = [*expected(self.inputs, direction), *unusual(self.inputs, direction)]
            self.others += left
            shown = {admitted: part for (way, admitted), part in self.shown.items() if way is direction}
            self.others += later_fragments(self.inputs, direction, shown)

    def _translated(self, direction: Direction) -> Iterator[Difference]:
        """Who newly reaches what a rule translates to, and who no longer does."""
        found = Translations(self.inputs, direction)
        universe = self.inputs.question(direction).universe(Population.TRANSLATED)
        for each in found.differences():
            yield self._difference(
                direction, Population.TRANSLATED, each.packets, universe, admitted=each.admitted, to=each.targets
            )
        self.others += found.others
        self.undecided += found.undecided

    def _populations(self, question: Question) -> Iterator[Difference]:
        before, after = question.before, question.after
        same = before.arrived == after.arrived and before.untracked == after.untracked
        if same and not before.hits and not after.hits:
            return
        elsewhere, nothing = question.translated(), self.inputs.space.nothing
        for population in PACKETS:
            universe = question.universe(population)
            if population is Population.UNSOLICITED:
                universe = universe & ~elsewhere
            old, new = (question.admitted(r, population) & universe for r in (before, after))
            for admitted, found in ((True, new & ~old), (False, old & ~new)):
                # What happens to anybody's first packets happens to expected ones, and is not told twice.
                before_it = self.shown.get((question.direction, admitted), nothing)
                part = found
                if population is Population.EXPECTED:
                    moved, part = expected_and_translated(self.inputs, question.direction), found & ~before_it
                    if part & moved != nothing:
                        self.undecided.append(f"{question.direction}: what becomes of expected connections by nat")
                    part = part & ~moved
                if part != nothing:
                    self.shown[question.direction, admitted] = before_it | part
                    yield self._difference(question.direction, population, part, universe, admitted=admitted)

    def _dialogues(self, direction: Direction) -> Iterator[Difference]:
        """Connections that only one of the rule sets gets a packet of through, of those that one of them untracks; not
        those whose opening packets were told already."""
        space = self.inputs.space
        both = Dialogues(self.inputs, direction, new_only=False)
        for flow, before, after in both.followed():
            universe, opening = self.inputs.stateless(both.scope(flow)), flow.flags()[0][0]
            for admitted, one, other in ((True, after, before), (False, before, after)):
                known = self.shown.get((direction, admitted), space.nothing)
                asked = universe & one.opened() & ~flow.carrying(space, known, opening)
                parts = [(step, asked & one.passes(*step) & ~other.passes(*step)) for step in flow.steps()]
                step, part = max(parts, key=lambda each: each[1].sat_count(space.sets.variables))
                if part != space.nothing:
                    yield self._difference(
                        direction, Population.WHOLE, part, universe, admitted=admitted, turn=(flow, step)
                    )

    def _difference(
        self, direction: Direction, population: Population, part: Set, universe: Set, *, admitted: bool,
        turn: tuple[Flow, tuple[str, int]] | None = None, to: tuple[str, ...] = (),
    ) -> Difference:  # fmt: skip
        """`turn`: the sets are of connections, told by their requests, and this packet of them is meant."""
        space = self.inputs.space
        share = Fraction(part.sat_count(space.sets.variables), universe.sat_count(space.sets.variables))
        every = self.inputs.question(direction).universe(population)
        if turn:  # they may be under an address that is none of this host's
            every = every | self.inputs.stateless(packets_of(space, direction, self.inputs.local, foreign=True))
        if direction is Direction.LOOPBACK and not self.inputs.local:  # 127.0.0.1 is there on every host
            lo = space.field(Field.DST, LOOPBACK) & space.field(Field.SRC, LOOPBACK)
            part, every = (part & lo, every & lo) if part & lo != space.nothing else (part, every)
        found, whole = boxes(space, part, every, MOST_REGIONS)
        regions = tuple(self._region(box, turn) for box in found)
        return Difference(space.family, direction, population, admitted, share, regions, whole, to)

    def _region(self, box: Box, turn: tuple[Flow, tuple[str, int]] | None) -> Region:
        words, shown = describe(self.inputs.space, box), self.inputs.typed(box.witness)
        if turn is None:
            return Region(words, box.share, shown, box.conditions)
        flow, step = turn
        *earlier, witness = conversation(flow, shown, *step)
        return Region(words, box.share, witness, box.conditions, tuple(earlier))
