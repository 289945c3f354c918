"""Which packets come to which rules, untracked."""

from __future__ import annotations

from collections.abc import Callable

from conntrim.core.diagnose.rulesets.case import Side
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.ruleset import Match, Rule, Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.reachability import packets_of, reach

Asked = Callable[[Rule], tuple[Match, ...] | None]
"""The matches with which a rule is to be looked at, None for one that is not."""


def untracked_at(side: Side, ruleset: Ruleset, asked: Asked, direction: Direction) -> dict[int, Set]:
    """By rule (its identity) the untracked packets that come to it and fit the matches that `asked` gives for it."""
    rules = ((rule, asked(rule)) for rule in ruleset.rules())
    traced = {id(rule): matches for rule, matches in rules if matches is not None}
    scope = packets_of(side.space, direction, side.local) & side.untracked(direction)
    way = reach(side.space, side.full, direction, scope, local=side.local, traced=traced)
    found: dict[int, Set] = {}
    for visit in way.visits:
        packets = side.stateless(visit.fits & side.space.state(CtState.UNTRACKED)) & way.untracked
        found[id(visit.rule)] = found.get(id(visit.rule), side.space.nothing) | packets
    return found
