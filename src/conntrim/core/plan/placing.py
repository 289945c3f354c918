"""Where a base chain must be told about untracked packets: the trace of the tracked packets, held against what each
rule would do with their untracked counterparts.

Theory. Before the plan a leg's packets are NEW (or ESTABLISHED), afterwards UNTRACKED. A rule whose answer does not
depend on the ct state treats both alike and needs nothing. A rule that matches the one but not the other gets a
*counterpart*: the same verdict, directly before it, for the leg's own packets in their new state, with every further
condition of the rule (a source, an interface) kept. Accepts and drops alike, so an operator's earlier refusal stays
earlier and no packet is admitted that was refused. Where a rule in front would now refuse the packets (`INVALID` drop
before the accept), the counterparts move before that rule, in their order. Where the chain as it is treats all
untracked packets as it treated the tracked ones, nothing is added.

Behind an accept of what is ESTABLISHED a rule that counts meets opening packets only. To keep it so (`bind`), the rest
of what is accepted later gets an accept of its own in front of it: over TCP opening packets are told by their flags.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import assert_never

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field, Key
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import HANDING, Answer, Effect, answer_of, asks_entry, does, effect_of
from conntrim.core.model.marks import SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import (
    Chain,
    CtTemplate,
    End,
    Helper,
    In,
    Jump,
    Match,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Return,
    Rule,
    SetZone,
    Statement,
    Table,
    Verdict,
    XtConntrack,
)
from conntrim.core.model.tcp_flags import BARE_SYN, NOT_BARE_SYN
from conntrim.core.model.writes import AddToSet, SetField
from conntrim.core.plan.described import Described
from conntrim.core.plan.ground import Ground, Spot
from conntrim.core.plan.passages import Passage
from conntrim.core.prove.chains import Trace, Visit
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.watch import OF_THE_ENTRY, items_of

MOST_COUNTERPARTS = 64
"""Counterparts for one passage in one base chain; more of them means that the chain needs an operator's eye."""

REFUSALS = frozenset({Verdict.DROP, Verdict.REJECT})


@dataclass(frozen=True, slots=True)
class Counterpart:
    """A rule to add at `spot`: it does `statement` with the packets told. `original` is the rule it copies."""

    spot: Spot
    told: Described
    statement: Statement
    original: Rule | None
    rest: bool = False
    """It is for all but opening packets."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A rule that cannot be copied, and why."""

    rule: Rule
    why: str


@dataclass(slots=True)
class Placing:
    """One passage through one base chain, as its packets meet it; `bind` as above.

    `bound` is the first rule behind an accept of what is ESTABLISHED that counts, varies or leaves a trace; `together`
    whether every rule so far did the same with the rest of the packets in their old and their new state; `tracked` is
    that old state. `refusing` are the rules that refused the tracked packets.
    """

    ground: Ground
    passage: Passage
    table: Table
    base: Chain
    bind: bool = False
    counterparts: list[Counterpart] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    refusing: list[Rule] = field(default_factory=list)
    hoist: Spot | None = None
    bound: Spot | None = None
    together: bool = True
    tracked: CtState = CtState.ESTABLISHED
    first: Trace = field(init=False)
    later: Set = field(init=False)
    _views: dict[tuple[object, ...], MatchEncoder] = field(default_factory=dict)

    def run(self) -> Placing:
        """Follow the first packets through the whole chain; its policy is the last rule."""
        passage, before = self.passage, self.passage.before
        self.tracked = CtState.ESTABLISHED if before.state is CtState.NEW else before.state
        self.later = self.ground.packets(passage, self.table, passage.later)
        opening = self.ground.packets(passage, self.table, before)
        self.first = self.ground.trace(passage, (self.table, self.base), before.state, opening)
        for visit in self.first.visits:
            self._visit(visit)
        if self.first.left != self.ground.space.nothing and self.base.base is not None:
            if self.base.base.policy is Verdict.ACCEPT:
                self._admit(before, None)
            if self.hoist:
                self._counterpart(self.hoist, before, End(self.base.base.policy), None)
        return self

    @property
    def admits(self) -> bool:
        """Whether any tracked packet is let through."""
        return self.first.passed != self.ground.space.nothing

    def settled(self) -> bool:
        """Whether the chain as it is lets through untracked just what it let through tracked; and, where it refuses
        some, what counts or leaves a trace on the way meets nobody else."""
        chain = self.table, self.base
        new = self.ground.trace(self.passage, chain, self.passage.later.state, self.later)
        old = self.ground.trace(self.passage, chain, self.tracked, self.later)
        was, nothing = self._widened(self.first.passed), self.ground.space.nothing
        if was & old.passed & ~new.passed != nothing or new.passed & ~was != nothing:
            return False
        if not self.refusing:
            return True
        came = _by_rule((*self.first.visits, *old.visits), nothing)
        watched = {n: packets for n, packets in _by_rule(new.visits, nothing).items() if self._watched(packets[0])}
        met = ((packets, came.get(n, (rule, nothing))[1]) for n, (rule, packets) in watched.items())
        return all(packets & ~self._widened(before) == nothing for packets, before in met)

    def _watched(self, rule: Rule) -> bool:
        """Whether a rule counts, varies or leaves a trace."""
        return any(item.why not in OF_THE_ENTRY for item in items_of(rule, self.table))

    def _visit(self, visit: Visit) -> None:
        rule, statement = visit.rule, decisive(visit.rule)
        later = self._widened(visit.comes)
        new, old = (
            later & self._view(state, visit.mark).rule(rule, self.table)
            for state in (self.passage.later.state, self.tracked)
        )
        meets = new != self.ground.space.nothing
        here = self.ground.spot(self.table, visit)
        if meets:
            self._watch(rule, here)
        if statement is None:
            return
        self.together = self.together and new == old and not (meets and _asks(rule))
        if visit.fits == self.ground.space.nothing:
            if meets:
                self._passed_by(rule, statement, new, here)
            return
        inside = self._told(visit)
        loses = self._widened(visit.fits) & new == self.ground.space.nothing
        self._copy(rule, statement, inside, here, loses=loses)
        self._ends(rule, statement, inside)

    def _watch(self, rule: Rule, here: Spot) -> None:
        """Whether the rest of the packets would now come to a rule that is watched; opening ones are told over TCP."""
        before = self.passage.before
        opening = before.state is CtState.NEW and before.fields.get(Field.TCP_FLAGS) == BARE_SYN
        if opening and not self.together and self.bound is None and self._watched(rule):
            self.bound = here

    def _passed_by(self, rule: Rule, statement: Statement, met: Set, here: Spot) -> None:
        """A rule that the first packets pass by; if it refuses the rest only now, counterparts go before it."""
        match statement:
            case End(verdict=verdict) if verdict is not Verdict.ACCEPT:
                if self.together:
                    self.refusing.append(rule)
                else:
                    self.hoist = self.hoist or here
            case Jump(chain=name) if target := self.table.chain(name):
                inner = self.ground.trace(self.passage, (self.table, target), self.passage.later.state, met)
                if inner.dropped != self.ground.space.nothing:
                    self.hoist = self.hoist or here
            case End() | Jump() | Return() | OpaqueStatement():
                return
            case Notrack() | SetZone() | CtTemplate() | Helper() | SetMark() | Nat() | NoEffect():
                return
            case SetField() | AddToSet():
                return
            case _:
                assert_never(statement)

    def _copy(self, rule: Rule, statement: Statement, inside: Described, here: Spot, *, loses: bool) -> None:
        """Note the rule's counterpart, where it needs one."""
        if self.hoist and isinstance(statement, Jump):
            target = self.table.chain(statement.chain)
            if any(isinstance(decisive(r), Return) for r in (target.rules if target else ())):
                self.doubts.append(Doubt(rule, "its chain returns, and its rules would have to move"))
        elif self.hoist or loses:
            if any(answer_of(m, self.table) is Answer.COUNTS for m in rule.matches):
                self.doubts.append(Doubt(rule, "it counts packets; a copy would count for itself"))
            elif any(effect_of(s) is Effect.ACTS for s in rule.statements):
                self.doubts.append(Doubt(rule, "it does something to packets that others see"))
            elif any(asks_entry(m) for m in rule.matches):
                self.doubts.append(Doubt(rule, "it asks the conntrack entry, which will not exist"))
            elif not isinstance(statement, End | Jump | Return):
                self.doubts.append(Doubt(rule, "what it does is not known"))
            else:
                self._counterpart(self.hoist or here, inside, statement, rule)

    def _counterpart(self, spot: Spot, inside: Described, statement: Statement, original: Rule | None) -> None:
        refuses = isinstance(statement, End) and statement.verdict in REFUSALS
        told = inside.in_state(self.passage.later.state) if refuses else self._later(inside)
        if len(self.counterparts) < MOST_COUNTERPARTS:
            self.counterparts.append(Counterpart(spot, told, statement, original))
        elif original is not None:
            self.doubts.append(Doubt(original, f"more than {MOST_COUNTERPARTS} rules would have to be copied"))

    def _ends(self, rule: Rule, statement: Statement, inside: Described) -> None:
        """What becomes of the first packets in a rule."""
        match statement:
            case End(verdict=Verdict.ACCEPT):
                self._admit(inside, rule)
            case End():
                self.refusing.append(rule)
            case Jump() | Return():
                return
            case (
                OpaqueStatement() | Notrack() | SetZone() | CtTemplate() | Helper() | SetMark() | Nat() | NoEffect()
                | SetField() | AddToSet()
            ):  # fmt: skip
                self.doubts.append(Doubt(rule, "what it does is not known"))
            case _:
                assert_never(statement)

    def _admit(self, inside: Described, rule: Rule | None) -> None:
        if self.bind and self.bound:
            rest = self._later(inside)
            holds = tuple(m for m in rest.holds if answer_of(m, self.table) is Answer.SAME)
            fields = {**rest.fields, Field.TCP_FLAGS: NOT_BARE_SYN}
            rest = replace(rest, fields=fields, holds=holds)
            self.counterparts.append(Counterpart(self.bound, rest, End(Verdict.ACCEPT), rule, rest=True))

    # --- packets and words ------------------------------------------------------------------------------------------

    def _widened(self, first: Set) -> Set:
        """All packets of the connections whose first ones these are: with every flag that they may have."""
        return first.exists(self.ground.space.sets.literals(*self.ground.space.bits[Field.TCP_FLAGS])) & self.later

    def _view(self, state: CtState, mark: tuple[Set, ...] | None) -> MatchEncoder:
        key = state, mark
        if key not in self._views:
            self._views[key] = self.ground.view(self.passage, state, mark)
        return self._views[key]

    def _told(self, visit: Visit) -> Described:
        """The packets that a rule matched, by what the rules on their way ask beside the state: what is said already is
        not said again."""
        told, view = self.passage.before, self.ground.view(self.passage, known=False)
        for match in (m for rule in (*visit.path, visit.rule) for m in rule.matches):
            here = told.packets(view, self.table)
            if not _of_state(match) and here & ~view.match(match, self.table) != view.space.nothing:
                told = told.narrowed(match)
        return told

    def _later(self, inside: Described) -> Described:
        """The same packets in their new state, with all TCP flags of the passage."""
        wide = self.passage.later
        fields: dict[Key, Intervals] = {f: v for f, v in inside.fields.items() if f is not Field.TCP_FLAGS}
        flags: dict[Key, Intervals] = {f: v for f, v in wide.fields.items() if f is Field.TCP_FLAGS}
        holds = (m for m in inside.holds if not (isinstance(m, In) and m.field is Field.TCP_FLAGS))
        return replace(inside, fields=fields | flags, holds=(*wide.holds, *holds), state=wide.state)


def _by_rule(visits: Iterable[Visit], nothing: Set) -> dict[int, tuple[Rule, Set]]:
    """The packets that came to each rule, whichever way."""
    found: dict[int, tuple[Rule, Set]] = {}
    for visit in visits:
        found[id(visit.rule)] = visit.rule, found.get(id(visit.rule), (visit.rule, nothing))[1] | visit.comes
    return found


def decisive(rule: Rule) -> Statement | None:
    """What ends or redirects a packet's way in a rule; None if it only counts, logs or marks."""
    return next((s for s in rule.statements if not _keeps_going(s, rule)), None)


def _keeps_going(statement: Statement, rule: Rule) -> bool:
    """Whether a statement lets the packet go on, or does the same with it whatever its state."""
    if isinstance(statement, PASSING):
        return True
    if not isinstance(statement, OpaqueStatement):
        return False
    return does(statement).goes_on or (statement.kind in HANDING and not any(map(_asks_state, rule.matches)))


def _asks(rule: Rule) -> bool:
    """Whether a rule asks the entry beside iptables' own match on the state."""
    return any(asks_entry(m) for m in rule.matches if not isinstance(m, XtConntrack))


def _asks_state(match: Match) -> bool:
    return asks_entry(match) or _of_state(match)


def _of_state(match: Match) -> bool:
    return isinstance(match, XtConntrack) or (isinstance(match, In) and match.field is Field.CT_STATE)


PASSING = (NoEffect, Notrack, SetZone, SetMark, Helper, Nat)
"""Statements that do not end a packet's way in the chains that are looked at (type filter)."""


def refusals(placing: Placing) -> Iterator[End]:
    """How the rules end packets' ways that refused tracked ones."""
    for rule in placing.refusing:
        yield from (s for s in rule.statements if isinstance(s, End))
