"""Which packets come to which rules, untracked."""

from __future__ import annotations

from collections.abc import Callable

from conntrim.core.diagnose.rulesets.case import Side
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.ruleset import Match, Rule, Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.reachability import packets_of, reach


def every(rule: Rule) -> tuple[Match, ...]:
    """A rule's matches."""
    return rule.matches


def untracked_at(
    side: Side, ruleset: Ruleset, wanted: Callable[[Rule], bool], direction: Direction,
    asked: Callable[[Rule], tuple[Match, ...]] = every,
) -> dict[int, Set]:  # fmt: skip
    """By rule (its identity) the untracked packets that come to it and fit it, for the rules that are wanted; `asked`
    are the matches that they have to fit."""
    traced = {id(rule): asked(rule) for rule in ruleset.those(wanted)}
    scope = packets_of(side.space, direction, side.local) & side.untracked(direction)
    way = reach(side.space, side.full, direction, scope, local=side.local, traced=traced)
    found: dict[int, Set] = {}
    for visit in way.visits:
        packets = side.stateless(visit.fits & side.space.state(CtState.UNTRACKED)) & way.untracked
        found[id(visit.rule)] = found.get(id(visit.rule), side.space.nothing) | packets
    return found
