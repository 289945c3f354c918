"""What a set holds for certain: what is unknown to the model is answered as for who comes first, or either way."""

from __future__ import annotations

from collections.abc import Mapping

from conntrim.core.model.address import Family
from conntrim.core.model.ct_match import CtKey
from conntrim.core.model.kinds import ANYTHING, SYNPROXY, does
from conntrim.core.model.marks import MarkOf, SetMark
from conntrim.core.model.ruleset import Match, OpaqueStatement, Rule, Ruleset, Statement, entry_questions
from conntrim.core.netfilter.hooks import tables_of
from conntrim.core.netfilter.question_text import question
from conntrim.core.prove.chains import mark_bit
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.match_encoder import FRAGMENT
from conntrim.core.prove.packet_vars import PacketVars


def certain(space: PacketVars, found: Set, given: Mapping[str, bool]) -> Set:
    """What is in a set of whole packets whatever a match says that is unknown to the model, but for what is given."""
    found, free = answered(space, found, {**given, FRAGMENT: False}), sorted(space.free.values())
    return ~((~found).exists(space.sets.literals(*free))) if free else found


def possible(space: PacketVars, found: Set, given: Mapping[str, bool]) -> Set:
    """What may be in a set of whole packets where this is given."""
    found, free = answered(space, found, {**given, FRAGMENT: False}), sorted(space.free.values())
    return found.exists(space.sets.literals(*free)) if free else found


def answered(space: PacketVars, found: Set, given: Mapping[str, bool]) -> Set:
    """What is in a set where these questions are answered so."""
    for text in given.keys() & space.free.keys():
        answer = space.sets.var(space.free[text])
        found = (found & (answer if given[text] else ~answer)).exists(answer)
    return found


def unmarked(ruleset: Ruleset, family: Family) -> dict[str, bool]:
    """What questions about the marks of a family's entries are answered where no rule writes one: all are 0."""
    rules = [
        rule for table in tables_of(ruleset, family) for chain in table.chains for rule in chain.those(_about_marks)
    ]
    if any(_marks(s) for rule in rules for s in rule.statements):
        return {}
    said = {question(m): answer for rule in rules for m in rule.matches if (answer := _of_none(m)) is not None}
    restored = (s for rule in rules for s in rule.statements if isinstance(s, SetMark) and s.source is MarkOf.ENTRY)
    return said | {mark_bit(s, bit): False for s in restored for bit in range(32)}


def _about_marks(rule: Rule) -> bool:
    """Whether a rule may write an entry's mark, read it into the packet's, or ask for it alone."""
    reads = any(isinstance(s, SetMark) and s.source is MarkOf.ENTRY for s in rule.statements)
    return reads or any(map(_marks, rule.statements)) or any(_of_none(m) is not None for m in rule.matches)


def _marks(statement: Statement) -> bool:
    """Whether a statement may write an entry's mark."""
    if isinstance(statement, SetMark):
        return statement.to is MarkOf.ENTRY
    return isinstance(statement, OpaqueStatement) and _may_mark(statement)


def _may_mark(statement: OpaqueStatement) -> bool:
    done = does(statement)
    return done.entry_mark or (done is ANYTHING and statement.kind not in SYNPROXY)


def _of_none(match: Match) -> bool | None:
    """What a match that asks for nothing but the mark of an entry says of 0."""
    asked = entry_questions(match)
    if len(asked) != 1 or asked[0].key is not CtKey.MARK:
        return None
    return (0 in asked[0].values) is not asked[0].negated
