"""Walks a base chain with a box of packets and notes, for each rule that decides about the packets' tracked selves
but no longer about them, a twin that does.

Theory. Before the plan a leg's packets are NEW (or ESTABLISHED), afterwards UNTRACKED. A rule whose answer does not
depend on the ct state treats both alike and needs nothing. A rule that matches the one but not the other gets a
*twin*: the same verdict, directly before it, for the leg's own packets in their new state, with every further
condition of the rule (a source, an interface) kept. Accepts and drops alike, so an operator's earlier refusal stays
earlier and no packet is admitted that was refused. Where a rule in front would now refuse the packets (`INVALID` drop
before the accept), the twins move before that rule, in their order.

Behind an accept of what is ESTABLISHED a rule that counts meets opening packets only. To keep it so (`bind`), the rest
of what is accepted later gets an accept of its own in front of it: over TCP opening packets are told by their flags.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import Answer, Effect, answer_of, does, effect_of
from conntrim.core.model.marks import SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import (
    Chain,
    CtTemplate,
    End,
    Field,
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
from conntrim.core.plan.box import Box, Tri, asks_entry, judge, narrow, remaining
from conntrim.core.prove.watch import items_of

MOST_TWINS = 64
"""Twins for one box in one base chain; more of them means that the chain needs an operator's eye."""

REFUSALS = frozenset({Verdict.DROP, Verdict.REJECT})


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in front of a rule: chain name and index; `index` one past the end is the chain's end."""

    chain: str
    index: int


@dataclass(frozen=True, slots=True)
class Twin:
    """A rule to add at `spot`: it does `statement` with the packets of `box`. `original` is the rule it copies."""

    spot: Spot
    box: Box
    statement: Statement
    original: Rule | None
    rest: bool = False
    """It is for all but opening packets."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A rule that cannot be copied, and why."""

    rule: Rule
    why: str


@dataclass(frozen=True, slots=True)
class Admission:
    """Packets that are accepted: by this rule, or by the chain's policy where it is None."""

    box: Box
    rule: Rule | None


@dataclass(slots=True)
class Walk:
    """One walk of one base chain. `wide` are all packets that arrive after the plan, in their new state and with
    all TCP flags; the box that is walked may be only the first of them, in its old state.

    `bind`: accept all but opening packets in front of `bound`, the first rule behind an accept of what is ESTABLISHED
    that counts, varies or leaves a trace: it goes on meeting opening packets only.

    `tracked` is the state that the rest of them had, `together` whether every rule so far did the same with both.
    """

    table: Table
    base: Chain
    wide: Box
    twins: list[Twin] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    admitted: list[Admission] = field(default_factory=list)
    refusing: list[Rule] = field(default_factory=list)
    hoist: Spot | None = None
    bind: bool = False
    bound: Spot | None = None
    tracked: CtState = CtState.ESTABLISHED
    together: bool = True

    def run(self, box: Box) -> Walk:
        """Walk the whole base chain; the policy is its last rule."""
        self.tracked = CtState.ESTABLISHED if box.state is CtState.NEW else box.state
        falls = self._chain(self.base, box, ())
        if falls and self.base.base is not None:
            if self.base.base.policy is Verdict.ACCEPT:
                self._admit(box, None)
            if self.hoist:
                self._twin(self.hoist, box, End(self.base.base.policy), None)
        return self

    def _chain(self, chain: Chain, box: Box, path: tuple[str, ...]) -> bool:
        """Walk one chain; whether packets may fall out at its end."""
        if chain.name in path:
            return True
        left = False
        for index, rule in enumerate(chain.rules):
            if box.empty():
                return left
            matched = judge(box, rule)
            here = Spot(chain.name, index)
            statement = decisive(rule)
            self._watch(rule, box, here)
            if statement is None:
                continue
            self.together = self.together and self._alike(rule, box)
            if matched is Tri.NO:
                self._passed_by(rule, statement, box, here)
                continue
            inside = narrow(box, rule.matches)
            self._copy(rule, statement, inside, here)
            stays, leaves = self._follow(rule, statement, inside, (*path, chain.name))
            if not stays:
                if matched is Tri.ALL:
                    return leaves or left
                box, left = remaining(box, rule), leaves or left
        return left or not box.empty()

    def _watch(self, rule: Rule, box: Box, here: Spot) -> None:
        """Whether the rest of the packets would now come to a rule that is watched; opening ones are told over TCP."""
        opening = box.state is CtState.NEW and box.fields.get(Field.TCP_FLAGS) == BARE_SYN
        if not opening or self.together or self.bound or judge(self._later(box), rule) is Tri.NO:
            return
        if any(items_of(rule, self.table)):
            self.bound = here

    def _admit(self, box: Box, rule: Rule | None) -> None:
        self.admitted.append(Admission(box, rule))
        if self.bind and self.bound:
            rest = self._later(box)
            holds = tuple(m for m in rest.holds if answer_of(m, self.table) is Answer.SAME)
            fields = {**rest.fields, Field.TCP_FLAGS: NOT_BARE_SYN}
            rest = replace(rest, fields=fields, holds=holds)
            self.twins.append(Twin(self.bound, rest, End(Verdict.ACCEPT), rule, rest=True))

    def _later(self, box: Box) -> Box:
        return later_box(box, self.wide)

    def _alike(self, rule: Rule, box: Box) -> bool:
        """Whether a rule does the same with the later packets in their new state as in the old one."""
        later = self._later(box)
        matched = judge(later, rule)
        asks = matched is not Tri.NO and any(asks_entry(m) for m in rule.matches if not isinstance(m, XtConntrack))
        return matched is judge(later.in_state(self.tracked), rule) and not asks

    def _passed_by(self, rule: Rule, statement: Statement, box: Box, here: Spot) -> None:
        """A rule that the first packets pass by; if it refuses the rest only now, later twins go before it."""
        if isinstance(statement, Return) or judge(self._later(box), rule) is Tri.NO:
            return
        if isinstance(statement, End):
            if statement.verdict is Verdict.ACCEPT:
                return
            if self.together:
                self.refusing.append(rule)
            else:
                self.hoist = self.hoist or here
        elif isinstance(statement, Jump) and self._refusing(statement, narrow(self._later(box), rule.matches)):
            self.hoist = self.hoist or here

    def _refusing(self, jump: Jump, inside: Box) -> bool:
        """Whether a chain that tracked packets do not enter may refuse untracked ones."""
        target = self.table.chain(jump.chain)
        ends = hits(self.table, target, inside) if target else ()
        return any(end is not None and end[1].verdict is not Verdict.ACCEPT for end in ends)

    def _copy(self, rule: Rule, statement: Statement, inside: Box, here: Spot) -> None:
        """Note the rule's twin, where it needs one."""
        loses = judge(self._later(inside), rule) is Tri.NO
        if self.hoist and isinstance(statement, Jump):
            if any(isinstance(decisive(r), Return) for r in self._target(statement)):
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
                self._twin(self.hoist or here, inside, statement, rule)

    def _target(self, jump: Jump) -> tuple[Rule, ...]:
        chain = self.table.chain(jump.chain)
        return chain.rules if chain else ()

    def _twin(self, spot: Spot, inside: Box, statement: Statement, original: Rule | None) -> None:
        refuses = isinstance(statement, End) and statement.verdict in REFUSALS
        box = inside.in_state(self.wide.state) if refuses else self._later(inside)
        if len(self.twins) < MOST_TWINS:
            self.twins.append(Twin(spot, box, statement, original))
        elif original is not None:
            self.doubts.append(Doubt(original, f"more than {MOST_TWINS} rules would have to be copied"))

    def _follow(self, rule: Rule, statement: Statement, inside: Box, path: tuple[str, ...]) -> tuple[bool, bool]:
        """Where the matched packets go: whether some stay for the next rule, whether some leave this chain alive."""
        match statement:
            case End(verdict=Verdict.ACCEPT):
                self._admit(inside, rule)
                return False, False
            case End():
                self.refusing.append(rule)
                return False, False
            case Jump(chain=name, goto=goto):
                target = self.table.chain(name)
                falls = target is None or self._chain(target, inside, path)
                return falls and not goto, falls and goto
            case Return():
                return False, True
            case _:
                self.doubts.append(Doubt(rule, "what it does is not known"))
                return True, True


def later_box(box: Box, wide: Box) -> Box:
    """The packets of a box in their new state and with all the TCP flags of `wide`."""
    fields: dict[Field, Intervals] = {f: v for f, v in box.fields.items() if f is not Field.TCP_FLAGS}
    flags: dict[Field, Intervals] = {f: v for f, v in wide.fields.items() if f is Field.TCP_FLAGS}
    holds = (m for m in box.holds if not (isinstance(m, In) and m.field is Field.TCP_FLAGS))
    return replace(box, fields=fields | flags, holds=(*wide.holds, *holds), state=wide.state)


def decisive(rule: Rule) -> Statement | None:
    """What ends or redirects a packet's way in a rule; None if it only counts, logs or marks."""
    for statement in rule.statements:
        if not isinstance(statement, PASSING) and not _keeps_going(statement, rule):
            return statement
    return None


def _keeps_going(statement: Statement, rule: Rule) -> bool:
    """Whether a statement that the model does not know is at least known to let the packet go on, or to do the same
    with it whatever its state."""
    if not isinstance(statement, OpaqueStatement):
        return False
    return does(statement).goes_on or (statement.kind in HANDING and not any(map(_asks_state, rule.matches)))


def _asks_state(match: Match) -> bool:
    return (
        asks_entry(match) or isinstance(match, XtConntrack) or (isinstance(match, In) and match.field is Field.CT_STATE)
    )


HANDING = frozenset({"TPROXY", "tproxy"})
"""Targets and statements that hand the packet to a socket of this host, or drop it where there is none, untracked or
not."""

PASSING = (NoEffect, Notrack, SetZone, CtTemplate, SetMark, Helper, Nat)
"""Statements that do not end a packet's way in the chains that are walked (type filter)."""


def hits(table: Table, chain: Chain, box: Box, path: tuple[str, ...] = ()) -> Iterator[tuple[Rule, End] | None]:
    """Every end that packets of the box may meet in a chain; None for its end. Each is *may*; there are no others."""
    for rule in chain.rules:
        if box.empty():
            return
        matched, statement = judge(box, rule), decisive(rule)
        if matched is Tri.NO or statement is None:
            continue
        found, stays = _ends(table, rule, statement, narrow(box, rule.matches), (*path, chain.name))
        yield from found
        if not stays:
            if matched is Tri.ALL:
                return
            box = remaining(box, rule)
    if not box.empty():
        yield None


def _ends(
    table: Table, rule: Rule, statement: Statement, inside: Box, path: tuple[str, ...]
) -> tuple[list[tuple[Rule, End] | None], bool]:
    """The ends that a rule's packets may meet, and whether some of them go on to the next rule."""
    match statement:
        case End():
            return [(rule, statement)], False
        case Return():
            return [None], False
        case Jump(chain=name, goto=goto):
            target = table.chain(name)
            if target is None or name in path:
                return [], True
            found = list(hits(table, target, inside, path))
            return [h for h in found if h is not None or goto], None in found and not goto
        case _:
            return [(rule, End(Verdict.QUEUE))], True
