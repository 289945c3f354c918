"""Which packets come to which rules: the rules get a mark that changes nothing, and the walk tells whom it met."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from conntrim.core.diagnose.rulesets.case import Side
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.marks import SetMark
from conntrim.core.model.ruleset import Match, Rule, Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.reachability import packets_of, reach

SEEN = SetMark(0, 0)

Asked = Callable[[Rule], tuple[Match, ...] | None]
"""The matches with which a rule is to be looked at, None for one that is not."""


def untracked_at(side: Side, ruleset: Ruleset, asked: Asked, direction: Direction) -> dict[int, Set]:
    """By rule (its identity) the untracked packets that come to it and fit the matches that `asked` gives for it."""
    marked, owners = with_marks(ruleset, asked)
    scope = packets_of(side.space, direction, side.local) & side.untracked(direction)
    way = reach(side.space, arrange(marked), direction, scope, local=side.local)
    found: dict[int, Set] = {}
    for _, hit in way.hits:
        if hit.statement is SEEN:
            packets = side.stateless(hit.packets & side.space.state(CtState.UNTRACKED)) & way.untracked
            owner = owners[id(hit.rule)]
            found[owner] = found.get(owner, side.space.nothing) | packets
    return found


def with_marks(ruleset: Ruleset, asked: Asked, instead: bool = False) -> tuple[Ruleset, dict[int, int]]:
    """The rule set with a marked rule in front of each that is asked for, or instead of it; and whose each one is."""
    owners: dict[int, int] = {}

    def marked(rule: Rule) -> tuple[Rule, ...]:
        matches = asked(rule)
        if matches is None:
            return (rule,)
        made = replace(rule, matches=matches, statements=(SEEN,))
        owners[id(made)] = id(rule)
        return (made,) if instead else (made, rule)

    tables = tuple(
        replace(t, chains=tuple(replace(c, rules=tuple(m for r in c.rules for m in marked(r))) for c in t.chains))
        for t in ruleset.tables
    )
    return replace(ruleset, tables=tables), owners
