"""Rule sets with their untracking inert, and what their rules do: untrack, translate, answer SYNs, name services."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import SYNPROXY
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import (
    Chain,
    In,
    Interface,
    Match,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Rule,
    Ruleset,
    Statement,
    asked_fields,
)

CHANCE = 64
"""So few ports that a rule names are a service's: who connects *from* one of them meets the rule by chance."""

FREE = Intervals.of((1024, 65535))
"""The ports that programs connect from: those below are for who serves."""


def answers_syns(statement: Statement) -> bool:
    """Whether a statement answers SYNs itself."""
    return isinstance(statement, OpaqueStatement) and statement.kind in SYNPROXY


def untracks(rule: Rule) -> bool:
    """Whether a rule untracks what it matches."""
    return any(isinstance(s, Notrack) for s in rule.statements)


def translates(rule: Rule) -> bool:
    """Whether a rule translates what it matches."""
    return any(isinstance(s, Nat) for s in rule.statements)


def proxies(rule: Rule) -> bool:
    """Whether a rule answers SYNs itself."""
    return any(map(answers_syns, rule.statements))


PASSING = NoEffect("counter")
"""What an untracking statement is that does nothing."""


def inert(ruleset: Ruleset) -> Ruleset:
    """The same rules with every untracking statement doing nothing: what matched it goes on. A rule that does nothing
    else is not there, so rule sets that differ in such rules are the same."""

    def rule(one: Rule) -> Rule | None:
        kept = tuple(PASSING if isinstance(s, Notrack) else s for s in one.statements)
        return None if _idle(one.matches, kept) else replace(one, statements=kept)

    return rewritten(ruleset, untracks, rule)


def _idle(matches: Iterable[Match], statements: Iterable[Statement]) -> bool:
    """Whether a rule does nothing: its matches neither count nor switch conntrack on (K5)."""
    plain = all(isinstance(m, In | Interface) and Field.CT_STATE not in asked_fields(m) for m in matches)
    return plain and all(s == PASSING for s in statements)


def rewritten(ruleset: Ruleset, which: Callable[[Rule], bool], rule: Callable[[Rule], Rule | None]) -> Ruleset:
    """The same rules, those of a kind rewritten, or gone (None); a chain in which nothing changes stays the same
    thing."""

    def chain(one: Chain) -> Chain:
        if not one.those(which):
            return one
        made = (rule(each) if which(each) else each for each in one.rules)
        return replace(one, rules=tuple([each for each in made if each]))

    return replace(ruleset, tables=tuple(replace(t, chains=tuple(map(chain, t.chains))) for t in ruleset.tables))


def services(ruleset: Ruleset) -> Intervals:
    """The ports that untracking rules name one by one."""
    spans = [
        (low, high)
        for rule in ruleset.those(untracks)
        for m in rule.matches if isinstance(m, In) and m.field in (Field.SPORT, Field.DPORT)
        for low, high in m.values.ranges if high - low < CHANCE
    ]  # fmt: skip
    return Intervals.union_of(spans)
