"""What the checks of a rule set look at: which packets its NOTRACK rules take, and what becomes of them.

Only packets that a NOTRACK rule takes are walked further, so a host of five thousand rules and three of them is quick.

More than 400 lines: what a side knows of its packets, each question asked once, is one value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from conntrim.core.diagnose.rulesets.asked import names_field, names_untracked, states_asked, trusts_source_port
from conntrim.core.diagnose.rulesets.unfollowed import Stage
from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import expects
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import (
    Chain,
    End,
    In,
    Interface,
    Match,
    Notrack,
    Rule,
    Ruleset,
    Statement,
    Table,
    Verdict,
)
from conntrim.core.model.service import Direction, Hook
from conntrim.core.model.tcp_flags import BARE_SYN, SYN_ACK
from conntrim.core.model.writes import SetField
from conntrim.core.netfilter.hooks import CONNTRACK, FAMILIES, Arranged, arrange, sees, tables_of
from conntrim.core.netfilter.icmp import ICMP
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.newcomer import Newcomer
from conntrim.core.netfilter.outcome import Step, StepKind
from conntrim.core.netfilter.question_text import astray, hangs, not_new
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.prove.assumed import certain, possible, unmarked
from conntrim.core.prove.cube_cover import Box, boxes
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import BACK, ERRORS
from conntrim.core.prove.inert import inert, untracks
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.names import LOOPBACK as LO
from conntrim.core.prove.names import Names, matches
from conntrim.core.prove.packet_text import describe, describe_packet
from conntrim.core.prove.packet_vars import IIF, OIF, PacketVars
from conntrim.core.prove.reachability import Reach, packets_of, reach, told_of
from conntrim.core.prove.scripts import Harm
from conntrim.core.prove.states import known, settled, unsolicited
from conntrim.core.prove.untracking import Difference, Untracking

WAYS: dict[Hook, tuple[Direction, ...]] = {
    Hook.PREROUTING: (Direction.INBOUND, Direction.FORWARDED),
    Hook.OUTPUT: (Direction.OUTBOUND, Direction.LOOPBACK),
}
"""Which packets meet the raw rules of a hook; on `lo` only those of OUTPUT count (K16)."""


PAST_LO = (Direction.INBOUND, Direction.FORWARDED, Direction.OUTBOUND)
"""The ways of packets that other hosts send or get."""

ELSEWHERE = "another interface"
"""By where a translated packet leaves for a host of which nobody told where it is: rules do not name it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The packets of one direction that one NOTRACK rule makes untracked."""

    rule: Rule
    hook: Hook
    direction: Direction
    packets: Set


@dataclass(frozen=True, slots=True)
class Told:
    """A set of packets for a reader: in words, the largest part of it, and that part as matches."""

    words: str
    box: Box
    matches: tuple[Match, ...]

    @property
    def witness(self) -> Packet:
        """One of the packets."""
        return self.box.witness

    @property
    def ports(self) -> Intervals:
        """The destination ports, where they matter."""
        return self.box.values.get(Field.DPORT, Intervals())

    @property
    def conditional(self) -> bool:
        """Whether it holds only on a match that is unknown to the model."""
        return bool(self.box.conditions)


@dataclass
class Side:
    """One family of a rule set."""

    space: PacketVars
    ruleset: Ruleset
    full: Arranged
    early: Arranged
    inert: Arranged
    local: Intervals | None
    loose: bool
    meant: dict[Direction, Set]
    """What accepts of UNTRACKED let in that name the destination ports: somebody meant them to be open."""
    taken: list[Taken] = field(default_factory=list)
    back: list[Taken] = field(default_factory=list)
    """What of the packets on lo has no entry and is taken in PREROUTING, where they come back in (K108)."""
    _ways: dict[tuple[Direction, bool], Reach] = field(default_factory=dict)
    _backs: dict[Direction, Set] = field(default_factory=dict)
    _begun: dict[Direction, tuple[Set, Set]] = field(default_factory=dict)
    _admitted: dict[tuple[Direction, CtState | None, bool], Set] = field(default_factory=dict)
    _differences: tuple[Difference, ...] | None = None

    def differences(self) -> tuple[Difference, ...]:
        """What untracking changes for anybody's dialogues."""
        if self._differences is None and self.taken:
            played = Untracking(
                self.space, self.early, self.full, self.inert, self.ruleset, self.given, self.unmarked, self.local,
                self.loose,
            )  # fmt: skip
            self._differences = tuple(self._followed(played.differences()))
        return self._differences or ()

    def _followed(self, found: Iterator[Difference]) -> Iterator[Difference]:
        """With some of those played that sets do not follow."""
        for each in found:
            alone = each.harm is Harm.UNFOLLOWED
            yield from self.stage.played(each, self.universe(each.direction)) if alone else (each,)

    @cached_property
    def newcomer(self) -> dict[str, bool]:
        """What rules that count say to whom they have not counted yet. An ingress chain of which no listing told the
        devices is taken for one of wires."""
        bases = (chain.base for table in self.ruleset.tables for chain in table.chains if chain.base)
        at_lo = {hangs(base, LO): False for base in bases if base.hook is Hook.INGRESS and not base.devices}
        return Newcomer.of(self.ruleset).said | at_lo

    @cached_property
    def unmarked(self) -> dict[str, bool]:
        """The answers to what asks for marks of entries where no rule writes one."""
        return unmarked(self.ruleset, self.space.family)

    @cached_property
    def given(self) -> dict[str, bool]:
        """The answers to what a newcomer's packets ask, and to what asks for marks of entries where there are none."""
        return self.newcomer | self.unmarked

    def certain(self, found: Set) -> Set:
        """What is in a set whatever is unknown to the model says, for a newcomer; nothing where all hangs on that."""
        return certain(self.space, found, self.given)

    @cached_property
    def of_first(self) -> dict[str, bool]:
        """What a first packet answers, whatever becomes of those behind it: its entry is new (K136), and where a rule
        gives it another port it arrives."""
        asked = (s for rule in self.ruleset.those(_asks_of_first) for s in rule.statements)
        return dict.fromkeys((text for s in asked if (text := _of_first(s))), False)

    def surest(self, found: Set) -> tuple[Set, bool]:
        """What is in a set for certain, if anything is, else all of it; and which of the two it is."""
        sure = found & self.certain(found)
        return (sure, True) if sure != self.space.nothing else (found, False)

    def possible(self, found: Set) -> Set:
        """What may be in a set, for a newcomer."""
        return possible(self.space, found, self.given)

    @property
    def stage(self) -> Stage:
        """Where single dialogues are played, with and without the untracking rules."""
        kernel = Kernel(local=self.local or Intervals(), tcp_loose=self.loose, way=ELSEWHERE)
        return Stage(self.space, self.full, self.inert, kernel, self.newcomer)

    def harmed(self, harm: Harm, direction: Direction) -> Set:
        """The openers of those dialogues of one direction that fare so, for certain."""
        every = (d for d in self.differences() if d.harm is harm and d.direction is direction and not d.conditional)
        return self.space.sets.either([d.openers for d in every])

    def losing_errors(self, direction: Direction) -> tuple[Rule, ...]:
        """The untracking rules whose dialogues lose errors that go this way."""
        lost = (d for d in self.differences() if d.harm is Harm.NO_ERRORS and d.last is direction)
        return tuple({id(rule): rule for d in lost for rule, _ in d.rules}.values())

    @property
    def errors(self) -> Set:
        """ICMP errors."""
        return self.space.field(self.space.icmp, ERRORS[self.space.family])

    def universe(self, direction: Direction) -> Set:
        """All packets of a direction, whatever their state."""
        return self.stateless(packets_of(self.space, direction, self.local))

    def stateless(self, found: Set) -> Set:
        """Packets of a set, whatever their state."""
        return self.space.any_state(found)

    def flagless(self, found: Set) -> Set:
        """Packets of a set, whatever their TCP flags."""
        return found.exists(self.space.sets.literals(*self.space.bits[Field.TCP_FLAGS]))

    def anywhere(self, found: Set) -> Set:
        """Packets of a set, whatever their TCP flags and interfaces."""
        bits = self.space.bits
        return found.exists(self.space.sets.literals(*bits[IIF], *bits[OIF], *bits[Field.TCP_FLAGS]))

    def share(self, found: Set, packets: Set) -> float:
        """How much of some packets is in a set, 0 to 1, by whatever interface and with whatever flags; 0 of none."""
        count = self.space.sets.variables
        every = self.anywhere(packets)
        whole = every.sat_count(count)
        return (every & self.anywhere(found)).sat_count(count) / whole if whole else 0.0

    def untracked(self, direction: Direction) -> Set:
        """The packets of a direction that some rule takes."""
        return self.space.sets.either([t.packets for t in self.taken if t.direction is direction])

    def answers(self, taken: Taken) -> Set:
        """Of a rule's packets those whose answers are untracked as well."""
        there = taken.direction
        if there not in self._backs:
            scope = self.untracked(there) & packets_of(self.space, there, self.local)
            back = reach(self.space, self.early, BACK[there], scope, mirrored=True, local=self.local)
            self._backs[there] = back.untracked
        return taken.packets & self._backs[there]

    def way(self, direction: Direction, *, inert: bool = False) -> Reach:
        """What becomes of the untracked packets of a direction, and of ICMP errors; `inert`: had no rule taken them."""
        if (direction, inert) not in self._ways:
            asked = self.untracked(direction) | self.errors
            scope = packets_of(self.space, direction, self.local) & asked
            rules = self.inert if inert else self.full
            self._ways[direction, inert] = reach(self.space, rules, direction, scope, local=self.local)
        return self._ways[direction, inert]

    def admitted(self, direction: Direction, state: CtState | None, untracked: bool) -> Set:
        """What of them passes, as unsolicited (state None) or connections' packets; `untracked` False: had no rule
        taken them."""
        key = direction, state, untracked
        if key not in self._admitted:
            self._admitted[key] = self._settled(*key)
        return self._admitted[key]

    def _settled(self, direction: Direction, state: CtState | None, untracked: bool) -> Set:
        # What counts is another rule's state in front of conntrack; behind it one walk answers for both.
        inert = not untracked and bool(early_refusals(self.ruleset))
        way, view = self.way(direction, inert=inert), MatchEncoder(self.space)
        marked = way.untracked if untracked else self.space.nothing
        states = unsolicited(view, marked, self.loose) if state is None else known(view, marked, state)
        return settled(self.space, way.arrived, states) & self.universe(direction)

    def begun(self, direction: Direction) -> tuple[Set, Set]:
        """The untracked packets of a direction, with any flags, of connections that begin where no rule takes them:
        as those that open one, and as answers. What is translated is among them: its answers look otherwise."""
        if direction not in self._begun:
            scope = packets_of(self.space, direction, self.local) & self.flagless(self.untracked(direction))
            there = reach(self.space, self.full, direction, scope, local=self.local)
            back = reach(self.space, self.full, BACK[direction], scope, mirrored=True, local=self.local)
            view, turned = MatchEncoder(self.space), MatchEncoder(self.space, mirrored=True)
            opened, asked = self._passing(there, view, None), self._passing(back, turned, None)
            answered, passed = (self._passing(*w, CtState.ESTABLISHED) for w in ((back, turned), (there, view)))
            other = self.flagless(self.stateless(there.translated | back.translated))
            lone = ~self.space.protocol(6)  # a datagram may be all there is
            self._begun[direction] = (opened & (answered | lone)) | other, (asked & passed) | other
        return self._begun[direction]

    def _passing(self, way: Reach, view: MatchEncoder, state: CtState | None) -> Set:
        """The connections whose opening packet passes as unsolicited (state None), or whose first answer does in this
        state, where no rule takes them."""
        nothing = self.space.nothing
        states = unsolicited(view, nothing, self.loose) if state is None else known(view, nothing, state)
        kind = self.opening() if state is None else self.answering()
        return self.flagless(settled(self.space, way.arrived, states) & kind)

    def answering(self) -> Set:
        """Packets that answer what opens something."""
        space = self.space
        return space.with_ports & (~space.protocol(6) | space.field(Field.TCP_FLAGS, SYN_ACK))

    def opening(self) -> Set:
        """Packets that open something: SYNs, and datagrams with ports."""
        space = self.space
        return space.with_ports & (~space.protocol(6) | space.field(Field.TCP_FLAGS, BARE_SYN))

    def echoes(self) -> Set:
        """Packets that ask for an echo."""
        return self.space.field(self.space.icmp, Intervals.of(ICMP[self.space.family].echo << 8))

    def told(self, packets: Set, direction: Direction) -> Told:
        """A set by its largest part found."""
        (box, *_), whole = boxes(self.space, packets, self.universe(direction), 1)
        return self.told_of(box, whole=whole)

    def told_of(self, box: Box, *, whole: bool) -> Told:
        """The same of a part that is there already; `whole`: there is no other."""
        words = describe(self.space, box) + ("" if whole else " and more")
        return Told(words, box, self.matches_of(box))

    def matches_of(self, box: Box) -> tuple[Match, ...]:
        """A box as matches that both dialects know; what they do not is left out."""
        return tuple(self._matches(box))

    def _matches(self, box: Box) -> Iterator[Match]:
        for key, values in box.values.items():
            if key in (IIF, OIF):
                yield self._interface("in" if key == IIF else "out", values, box.without[key])
            elif key in (Field.SRC, Field.DST, Field.PROTOCOL, Field.SPORT, Field.DPORT):
                yield In(Field(key), values)

    def _interface(self, way: str, codes: Intervals, without: Intervals) -> Match:
        """By name; interfaces that nobody named are told by those that it is not."""
        told, other = self._names(codes), self._names(without)
        return Interface(way, tuple(filter(None, other)), negated=True) if "" in told else Interface(way, told)

    def _names(self, codes: Intervals) -> tuple[str, ...]:
        """As the rules name them; empty for one that no rule means."""
        names = self.space.names
        found = (names.known[code] for code in codes if 0 < code < len(names.known))
        return tuple(dict.fromkeys(self._spoken(name) for name in found))

    def _spoken(self, name: str) -> str:
        patterns = self.space.names.patterns
        if name == LO or name in patterns:
            return name
        return next((p for p in sorted(patterns) if p.endswith("*") and p != "*" and matches(name, p)), "")


@dataclass(frozen=True, slots=True)
class Home:
    """Where a rule stands."""

    table: Table
    chain: Chain


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of rules that differ in little: spaces, and the rules with their untracking inert."""

    spaces: tuple[PacketVars, ...] = ()
    without: Ruleset | None = None
    inert: Arranged | None = None

    def space(self, family: Family, names: Names, tick: Callable[[], None]) -> PacketVars:
        """The one of a family, if the same interfaces are told apart in it; else a new one."""
        like = (s for s in self.spaces if (s.family, s.names) == (family, names))
        return next(like, None) or PacketVars(family, names, tick, shared=True)

    def arranged(self, without: Ruleset) -> Arranged:
        """Inert rules as they are arranged: edits of untracking rules alone leave them as they were."""
        return self.inert if self.inert and without == self.without else arrange(without)


UNKNOWN = Known()


@dataclass(frozen=True, slots=True)
class RuleCase:
    """A rule set, by families; `notracks` are its NOTRACK rules, whether or not they take anything."""

    ruleset: Ruleset
    sides: tuple[Side, ...]
    notracks: tuple[Rule, ...]
    full: Arranged
    homes: dict[int, Home]
    known: Known
    """What rules that differ in little need not find anew."""

    def home(self, rule: Rule) -> Home:
        """The table and chain of one of the rule set's rules."""
        return self.homes[id(rule)]

    def path(self, packet: Packet) -> tuple[Step, ...]:
        """What happens to a packet, one way where something is not known."""
        return simulate(self.full, packet).path

    def accepting(self, packet: Packet) -> Rule | None:
        """The last rule that had its way with a packet."""
        path = simulate(self.full, packet, explained=False).path
        return next((s.rule for s in reversed(path) if s.kind is StepKind.RULE), None)

    def in_front(self, packet: Packet) -> tuple[Home, Rule | None] | None:
        """Where an accept of a refused packet belongs: before the rule that refuses it or jumps to a chain which only
        ever refuses, or (None) behind the rules of a base chain whose policy does."""
        outcome = simulate(self.full, packet)
        if outcome.by is None or outcome.by.rule is None:
            _, home = self.refusing(packet)
            return (home, None) if home else None
        ways = [s.rule for s in outcome.path if s.kind is StepKind.RULE and s.hook is outcome.by.hook and s.rule]
        for rule in reversed(ways):
            home = self.home(rule)
            if any(End(Verdict.ACCEPT) in r.statements for r in home.chain.rules):
                return home, rule
        return self.home(ways[-1]), ways[-1]

    def refusing(self, packet: Packet) -> tuple[Rule | None, Home | None]:
        """The rule that drops a packet, or the base chain whose policy does."""
        step = simulate(self.full, packet).by
        if step is None or step.rule is not None:
            return (step.rule, self.home(step.rule)) if step and step.rule else (None, None)
        chains = ((t, c) for t in self.ruleset.tables for c in t.chains)
        here = (
            Home(t, c) for t, c in chains if (t.name, c.name) == (step.table, step.chain) and sees(t, packet.family)
        )
        return None, next(here, None)


def case_of(
    ruleset: Ruleset,
    local: Intervals | None,
    tick: Callable[[], None] = lambda: None,
    *,
    loose: bool = True,
    known: Known = UNKNOWN,
) -> RuleCase:
    """Walk the raw rules of every family; `loose`: nf_conntrack_tcp_loose. May raise `NotDecided`."""
    names = Names.of((ruleset,))
    full, early = arrange(ruleset), arrange(replace(ruleset, tables=tuple(_early(t) for t in ruleset.tables)))
    seen = {f for t in ruleset.tables for f in FAMILIES.get(t.family, ())}
    rules = tuple(ruleset.those(untracks))
    without = inert(ruleset)
    idle = known.arranged(without) if rules else full
    sides = []
    subject = rules or early_refusals(ruleset) or any(ruleset.those(trusts_source_port))
    for family in (f for f in Family if f in seen and subject):
        space = known.space(family, names, tick)
        side = Side(space, ruleset, full, early, idle, told_of(local, family), loose, _meant(space, ruleset))
        for one in _taken(side):
            again = one.direction is Direction.LOOPBACK and one.hook is Hook.PREROUTING
            (side.back if again else side.taken).append(one)
        sides.append(side)
    homes = {id(r): home for t in ruleset.tables for c in t.chains for home in (Home(t, c),) for r in c.rules}
    found = Known(tuple(side.space for side in sides), without, idle)
    return RuleCase(ruleset, tuple(sides), rules, full, homes, found)


def _asks_of_first(rule: Rule) -> bool:
    return any(map(_of_first, rule.statements))


def _of_first(statement: Statement) -> str:
    """The question that a statement asks of a first packet, which says no; empty: none."""
    if isinstance(statement, SetField) and statement.field in (Field.SPORT, Field.DPORT):
        return astray(statement)
    return not_new(statement) if expects(statement) else ""


ENDS: dict[Direction, Hook] = {Direction.INBOUND: Hook.INPUT, Direction.FORWARDED: Hook.FORWARD}
"""Where the filter decides about packets that come in."""


def _meant(space: PacketVars, ruleset: Ruleset) -> dict[Direction, Set]:
    """Accepts that name UNTRACKED and destination ports, wherever packets of a direction may come to them."""
    found: dict[Direction, list[Set]] = {direction: [] for direction in ENDS}
    for table in tables_of(ruleset, space.family):
        for direction, hook in ENDS.items():
            bases = (c for c in table.chains if c.base and c.base.hook is hook)
            for chain in {c.name: c for base in bases for c in table.below(base)}.values():
                found[direction] += _meant_in(space, table, chain)
    return {direction: space.sets.either(sets) for direction, sets in found.items()}


def _meant_in(space: PacketVars, table: Table, chain: Chain) -> Iterator[Set]:
    """Those of one chain; what a rule in front of them refuses, they do not let in."""
    states = dict.fromkeys(CtState, space.nothing) | {CtState.UNTRACKED: space.everything}
    view, refused = MatchEncoder(space, states, has_in=True), space.nothing
    named = chain.those(_names_ports_of_untracked)
    for rule in chain.rules if named else ():
        if End(Verdict.ACCEPT) not in rule.statements:
            refuses = any(isinstance(s, End) and s.verdict is not Verdict.ACCEPT for s in rule.statements)
            refused = refused | view.rule(rule, table) if refuses else refused
        elif rule in named:
            yield view.rule(rule, table) & ~refused


def _names_ports_of_untracked(rule: Rule) -> bool:
    return names_field(rule, Field.DPORT) and names_untracked(rule)


def early_refusals(ruleset: Ruleset) -> list[Rule]:
    """The rules in front of conntrack that refuse by state: INVALID is what every packet is there."""
    found = {}
    for table in ruleset.tables:
        bases = (c for c in table.chains if c.base and c.base.hook in WAYS and c.base.priority < CONNTRACK)
        for rule in (r for base in bases for chain in table.below(base) for r in chain.those(refuses_invalid)):
            found[id(rule)] = rule
    return list(found.values())


def refuses_invalid(rule: Rule) -> bool:
    """Whether a rule refuses INVALID packets, or those in other states as well."""
    refuses = any(isinstance(s, End) and s.verdict is not Verdict.ACCEPT for s in rule.statements)
    return refuses and any(CtState.INVALID in states_asked(m) for m in rule.matches)


def _early(table: Table) -> Table:
    """The table without the base chains behind conntrack."""
    return replace(table, chains=tuple(c for c in table.chains if not c.base or c.base.priority < CONNTRACK))


def _taken(side: Side) -> Iterator[Taken]:
    for hook, directions in WAYS.items():
        for direction in directions:
            scope = packets_of(side.space, direction, side.local)
            way = reach(side.space, side.early, direction, scope, local=side.local)
            for at, hit in way.hits:
                if at in (hook, Hook.PREROUTING) and isinstance(hit.statement, Notrack):
                    yield Taken(hit.rule, at, direction, side.stateless(hit.packets))


def such_as(packet: Packet) -> str:
    """A witness as evidence."""
    return f"such as {describe_packet(packet)}"
