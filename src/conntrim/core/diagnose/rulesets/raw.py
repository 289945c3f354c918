"""Cures in front of conntrack: the chains of raw, rules put there, and packets that are left tracked after all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from conntrim.core.diagnose.rulesets import rewrite
from conntrim.core.diagnose.rulesets.case import Home, RuleCase, Side, Taken
from conntrim.core.model.change import AddChain, TableKey
from conntrim.core.model.finding import Edit, How
from conntrim.core.model.ruleset import XT_HOOKS, Base, Chain, Dialect, Interface, Match, Rule
from conntrim.core.model.service import Direction, Hook
from conntrim.core.netfilter.hooks import CONNTRACK, DEFRAG
from conntrim.core.prove.cube_cover import boxes
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.states import in_front

RAW = XT_HOOKS["raw"][1]
MOST_PARTS = 4
"""Rules that one cure may take; packets of odder shapes have none."""

FEW = 0.1
"""Less of either is chance: a rule for port 80 and one for port 443 share what goes from one to the other."""

UNSEEN = {Hook.PREROUTING: "out", Hook.OUTPUT: "in"}
"""The interface that a hook does not know."""


def chain_at(home: Home, hook: Hook) -> Chain | None:
    """A chain of the same table between reassembly and conntrack."""
    hung = ((c, c.base) for c in home.table.chains if c.base and c.base.type == "filter")
    return next((c for c, base in hung if base.hook is hook and DEFRAG < base.priority < CONNTRACK), None)


def hung(home: Home, hook: Hook) -> Home:
    """Where a rule for this hook goes; without such a chain the words are those of the table."""
    return replace(home, chain=chain_at(home, hook) or home.chain)


def appended(home: Home, hook: Hook, rule: Rule, like: Rule) -> Iterator[Edit]:
    """A rule at the end of such a chain, which is made where there is none; `like` is one of the same table."""
    there = chain_at(home, hook)
    if home.table.dialect is not Dialect.NFTABLES:
        if there is not None:
            last = there.rules[-1].place if there.rules else like.place
            yield from rewrite.last(Home(home.table, there), last, rule, like)
        return
    base = Base("filter", hook, RAW)
    goal = Home(home.table, there or Chain(f"conntrim_{hook}", (), base))
    if there is None:
        words = f"{{ type filter hook {hook} priority raw; policy accept; }}"
        place, operation = rewrite.chain_place(goal, like.place), AddChain(goal.chain.name, base)
        yield Edit(How.CHAIN, place, words, TableKey.of(goal.table), operation)
    yield from rewrite.last(goal, like.place, rule, like)


def moved(case: RuleCase, rule: Rule, hook: Hook) -> tuple[Edit, ...]:
    """A rule of a base chain put at the end of raw; none where the hook does not know what the rule asks for."""
    home = case.home(rule)
    unknown = any(isinstance(m, Interface) and m.way == UNSEEN[hook] for m in rule.matches)
    if home.chain.base is None or unknown:
        return ()
    there = tuple(appended(home, hook, rewrite.copied(rule), rule))
    return (*there, rewrite.removed(home, rule)) if there else ()


def tracked(case: RuleCase, side: Side, found: Set, taken: Taken) -> Iterator[Edit]:
    """`found` tracked after all, and their answers: accepted in raw before the rules that untrack them. A rule that
    would have nothing left to untrack goes."""
    parts, whole = boxes(side.space, found & taken.packets, side.universe(taken.direction), MOST_PARTS)
    if not parts or not whole:
        return
    asked = [side.matches_of(box) for box in parts]
    answers = [rewrite.mirrored(matches) for matches in asked]
    for other in {id(t.rule): t for t in side.taken}.values():
        if other.hook is taken.hook:
            yield from _before(case, side, other, asked)
        if other.hook is not taken.hook or taken.direction is Direction.FORWARDED:
            yield from _before(case, side, other, answers)


def _before(case: RuleCase, side: Side, taken: Taken, asked: list[tuple[Match, ...]]) -> Iterator[Edit]:
    """Accepts before a NOTRACK rule, or its end."""
    rule, home = taken.rule, case.home(taken.rule)
    mine = side.space.sets.either([t.packets for t in side.taken if t.rule is rule])
    meant = _fits(case, side, taken, asked)
    fitting = mine & meant
    if max(side.share(fitting, mine), side.share(fitting, meant)) < FEW:
        return
    elsewhere = any(t.rule is rule for s in case.sides if s is not side for t in s.taken)
    if fitting == mine and not elsewhere:
        yield rewrite.removed(home, rule)
        return
    accepts = []
    for matches in asked:
        seen = (m for m in matches if not (isinstance(m, Interface) and m.way == UNSEEN[taken.hook]))
        for each in product(*map(_single, seen)):
            accepts.append(rewrite.before(home, rule, rewrite.made(rewrite.ordered(each), rewrite.ACCEPT), rule))
    if all(accepts):  # half of a cure is none
        yield from (edit for edits in accepts for edit in edits)


def _single(match: Match) -> tuple[Match, ...]:
    """iptables names one interface a rule."""
    if isinstance(match, Interface) and not match.negated:
        return tuple(replace(match, names=(name,)) for name in match.names)
    return (match,)


def _fits(case: RuleCase, side: Side, taken: Taken, asked: list[tuple[Match, ...]]) -> Set:
    """The packets that any of these matches are about, as far as the hook of a NOTRACK rule knows."""
    view, table, place = MatchEncoder(side.space, in_front(side.space)), case.home(taken.rule).table, taken.rule.place
    named = ([m for m in matches if not isinstance(m, Interface)] for matches in asked)
    return side.space.sets.either([view.rule(Rule(tuple(m), (), place, ""), table) for m in named])
