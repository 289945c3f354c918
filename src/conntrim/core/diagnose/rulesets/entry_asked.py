"""A rule asks for the conntrack entry of packets that have none.

What it says:
    Untracked packets come to a rule that asks for something kept in the
    connection's entry: connlimit, connbytes, connmark, helper, ct mark, the
    original addresses. Or the rule asks for UNTRACKED or INVALID and for
    such a thing together.

Why it matters:
    Without an entry a limit or a mark never matches: the rule protects
    nothing any more. Together with UNTRACKED iptables ignores everything
    else in the same match: the rule matches wider than it reads.

What to do:
    Ask for what stands in the packet (addresses, ports, hashlimit, mark), or
    leave these packets tracked.

Caveats:
    What the rule would have matched with an entry is not known: shown is that
    packets come there that can have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import assert_never

from conntrim.core.diagnose.rulesets import raw, rewrite
from conntrim.core.diagnose.rulesets.asked import states_asked
from conntrim.core.diagnose.rulesets.case import PAST_LO, Home, RuleCase, Side, such_as
from conntrim.core.diagnose.rulesets.seen import untracked_at
from conntrim.core.model.conntrack import STATELESS
from conntrim.core.model.ct_match import CtIn, CtKey, Way
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Edit, Finding, Severity
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.marks import SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import (
    AnyOf,
    CtTemplate,
    Dialect,
    End,
    Helper,
    In,
    InSet,
    Interface,
    Jump,
    Match,
    NoEffect,
    Notrack,
    OpaqueMatch,
    OpaqueStatement,
    Return,
    Rule,
    SetZone,
    Statement,
    XtConntrack,
)
from conntrim.core.model.service import Direction
from conntrim.core.model.writes import AddToSet, SetField
from conntrim.core.prove.diagram import Set

CODE, NAME = "CT111", "entry-asked"

KEPT = frozenset({"connmark", "connlimit", "connbytes", "connlabel", "helper", "ct"})
"""Kinds of matches about what an entry holds."""


UNKEPT = Intervals.of(*map(int, STATELESS))
"""The states of packets without an entry."""


def of_entry(match: Match) -> bool:
    """Whether a match asks for more of an entry than the state."""
    match match:
        case OpaqueMatch(kind=kind):
            return bool(kind) and kind.split()[0] in KEPT
        case XtConntrack(others=others):
            return bool(others)
        case CtIn():
            return True
        case In() | Interface() | InSet() | AnyOf():
            return False
        case _:
            assert_never(match)


def asks(rule: Rule) -> bool:
    """Whether a rule that does something depends on an entry."""
    does = not all(isinstance(s, NoEffect) for s in rule.statements)
    return does and (any(map(of_entrys_mark, rule.statements)) or any(map(of_entry, rule.matches)))


def of_entrys_mark(statement: Statement) -> bool:
    """Whether a statement writes or reads an entry's mark."""
    match statement:
        case SetMark():
            return statement.of_entry
        case OpaqueStatement(kind=kind):
            return kind == "CONNMARK"
        case End() | Jump() | Return() | Notrack() | SetZone() | CtTemplate() | Helper() | Nat() | NoEffect():
            return False
        case SetField() | AddToSet():
            return False
        case _:
            assert_never(statement)


def without(rule: Rule) -> tuple[Match, ...]:
    """The rule's other matches: the packets that it wants to ask about."""
    return tuple(m for m in rule.matches if not of_entry(m))


def wide(rule: Rule) -> bool:
    """K21: states that packets without an entry have, and more that is then not looked at."""
    return any(of_entry(m) and states_asked(m) & UNKEPT for m in rule.matches)


def check(case: RuleCase) -> Iterator[Finding]:
    """Rules about entries to which untracked packets come."""
    rules = {id(r): r for r in case.ruleset.those(asks)}
    told: dict[int, Finding] = {}
    for side in case.sides if rules else ():
        for direction in PAST_LO:
            if side.untracked(direction) == side.space.nothing:
                continue
            for owner, found in untracked_at(side, case.ruleset, asks, direction, without).items():
                if owner in rules and found != side.space.nothing:
                    finding = told.get(owner) or _finding(case, side, rules[owner], found, direction)
                    edits = () if _undecided(case, rules[owner]) else _kept(case, side, found, direction)
                    told[owner] = replace(finding, edits=tuple(dict.fromkeys((*finding.edits, *edits))))
    yield from told.values()


def _finding(case: RuleCase, side: Side, rule: Rule, found: Set, direction: Direction) -> Finding:
    told = side.told(found, direction)
    edits = _plainly(case.home(rule), rule) if wide(rule) else ()
    return Finding(
        CODE, Severity.WARNING, _title(rule), (rule.text, f"come here: {told.words}", such_as(told.witness)),
        rule.place, (_advice(case, rule, bool(edits)),), witness=told.witness, edits=edits,
    )  # fmt: skip


def _undecided(case: RuleCase, rule: Rule) -> bool:
    """Rules that copy marks, or look at states alone: what is right for them only the operator knows."""
    return wide(rule) or any(map(of_entrys_mark, rule.statements))


def _kept(case: RuleCase, side: Side, found: Set, direction: Direction) -> Iterator[Edit]:
    for taken in (t for t in side.taken if t.direction is direction):
        yield from raw.tracked(case, side, found, taken)


def _advice(case: RuleCase, rule: Rule, spelt: bool) -> str:
    if spelt:
        return "ask for what stands in the packet itself"
    if _undecided(case, rule):
        return "no edit is right by itself: what untracked packets need of this rule is yours to decide"
    return (
        "yours to decide: to keep this rule's meaning leave its packets tracked, as below; to keep them untracked ask"
        " for what stands in the packet itself (hashlimit for connlimit and connbytes, mark for connmark)"
    )


PLAIN = {CtKey.SRC: Field.SRC, CtKey.DST: Field.DST}
"""What an original address is in a packet that nobody translates."""


def _plainly(home: Home, rule: Rule) -> tuple[Edit, ...]:
    """A rule about UNTRACKED alone, with its addresses asked of the packet; none where it asks for more."""
    states = next((states_asked(m) for m in rule.matches if states_asked(m)), Intervals())
    others = [each for m in rule.matches if isinstance(m, XtConntrack) for each in m.others]
    original = all(each.key in PLAIN and each.way is Way.ORIGINAL for each in others)
    if home.table.dialect is Dialect.NFTABLES or states - UNKEPT or len(others) != 1 or not original:
        return ()
    plain = [In(PLAIN[each.key], each.values, each.mask) for each in others]
    rest = [replace(m, others=()) if isinstance(m, XtConntrack) else m for m in rule.matches]
    return rewrite.replaced(home, rule, rewrite.made((*plain, *rest), rule.statements, rule.comment))


def _title(rule: Rule) -> str:
    if wide(rule):
        return "for packets without an entry this rule looks at the state alone, not at what it asks beside"
    return "untracked packets come to this rule, which asks for their conntrack entry"
