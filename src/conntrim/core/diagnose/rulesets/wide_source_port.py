"""An accept by source port opens every other port to whoever sends from it.

What it says:
    A rule accepts packets by their source port, and asks neither for a peer
    nor for a port of ours nor for a known connection. Whoever sends
    from that port reach ports that the rule set refuses to everybody else.

Why it matters:
    The source port is the sender's choice.

What to do:
    Ask for the state ESTABLISHED; where the packets or those that they
    answer are untracked, name the servers (-s) and leave out SYNs (! --syn).

Caveats:
    Told where the packets reach something that is closed otherwise: a rule
    of this kind in an open rule set changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from conntrim.core.diagnose.rulesets import rewrite
from conntrim.core.diagnose.rulesets.asked import trusts_source_port
from conntrim.core.diagnose.rulesets.case import RuleCase, Side, Told, such_as
from conntrim.core.diagnose.rulesets.no_effect import bases_of
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.finding import Edit, Finding, Severity
from conntrim.core.model.ruleset import Rule, Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import JOURNEYS, Arranged, arrange, sees
from conntrim.core.netfilter.outcome import Fate
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import BACK
from conntrim.core.prove.inert import rewritten
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.reachability import packets_of, reach
from conntrim.core.prove.states import settled, unsolicited

CODE, NAME = "CT114", "wide-source-port"


PASSED = (Fate.ACCEPT, Fate.NOT_DECIDED)


def check(case: RuleCase) -> Iterator[Finding]:
    """Accepts by source port through which unsolicited packets reach what is closed otherwise."""
    rules = {id(r): r for r in case.ruleset.those(trusts_source_port)}
    if not rules:
        return
    without, owners = _inert(case.ruleset)
    for side in case.sides:
        for direction in (Direction.INBOUND, Direction.FORWARDED):
            here = [_fitting(side, case, rule) for rule in rules.values() if _reachable(case, rule, direction)]
            scope = side.space.sets.either(here)
            for owner, found in _opened(side, scope, without, owners, direction).items():
                told = side.told(found, direction)
                if owner in rules and simulate(case.full, told.witness).verdict in PASSED:
                    yield _finding(case, rules.pop(owner), told, tracked=_tracked(side, direction, found))


def _inert(ruleset: Ruleset) -> tuple[Arranged, dict[int, Rule]]:
    """The rule set in which such rules do nothing; and for whom (by identity) each of them stands there."""
    owners: dict[int, Rule] = {}

    def inert(rule: Rule) -> Rule:
        owners[id(rule)] = replace(rule, statements=())
        return owners[id(rule)]

    return arrange(rewritten(ruleset, trusts_source_port, inert)), owners


def _reachable(case: RuleCase, rule: Rule, direction: Direction) -> bool:
    """Whether a hook that these packets pass leads to the rule's chain."""
    return any(base.hook in JOURNEYS[direction] for base in bases_of(case.home(rule)))


def _fitting(side: Side, case: RuleCase, rule: Rule) -> Set:
    """The packets that a rule's matches fit, whatever their state."""
    table = case.home(rule).table
    if not sees(table, side.space.family):
        return side.space.nothing
    view = MatchEncoder(side.space, dict.fromkeys(CtState, side.space.everything), has_out=True, local=side.local)
    return view.rule(rule, table)


def _opened(
    side: Side, scope: Set, without: Arranged, owners: dict[int, Rule], direction: Direction
) -> dict[int, Set]:  # fmt: skip
    """By rule the unsolicited openings that come to it, which nothing else lets in. A later base chain may refuse some
    of them all the same: the witness is walked through the whole rule set."""
    space = side.space
    scope = packets_of(space, direction, side.local) & scope & side.opening()
    if scope == space.nothing:
        return {}
    traced = {id(stands): stands.matches for stands in owners.values()}
    way = reach(space, without, direction, scope, local=side.local, traced=traced)
    states = unsolicited(MatchEncoder(space), way.untracked)
    closed = side.stateless(scope) & ~settled(space, way.arrived, states)
    found: dict[int, Set] = {}
    whose = {id(stands): owner for owner, stands in owners.items()}
    for visit in way.visits:
        packets = settled(space, visit.fits, states) & closed
        if packets != space.nothing:
            owner = whose[id(visit.rule)]
            found[owner] = found.get(owner, space.nothing) | packets
    return found


def _tracked(side: Side, direction: Direction, found: Set) -> bool:
    """Whether answers that look like these packets have entries: no rule untracks them, or what they answer (K14)."""
    asked = side.space.ends_swapped(found) & side.untracked(BACK[direction])
    return found & side.untracked(direction) == side.space.nothing == asked


def _edit(case: RuleCase, rule: Rule, tracked: bool) -> tuple[Edit, ...]:
    """Ask for a known connection where there can be one, else for the server."""
    home = case.home(rule)
    family = rewrite.family_of_table(home)
    if tracked and case.full.active[family]:
        matches = (*rule.matches, rewrite.state_match(home, CtState.ESTABLISHED))
    else:
        matches = rewrite.tightened(rule, home, rewrite.blank("SERVER", family))
    return rewrite.replaced(home, rule, rewrite.made(rewrite.ordered(matches), rule.statements, rule.comment))


def _finding(case: RuleCase, rule: Rule, told: Told, *, tracked: bool) -> Finding:
    return Finding(
        CODE, Severity.WARNING, "whoever sends from this rule's source port reaches closed ports",
        (rule.text, f"reachable through it alone: {told.words}", such_as(told.witness)), rule.place,
        ("ask for the state ESTABLISHED; where one way of these connections is untracked, for the server's address",),
        witness=told.witness, edits=_edit(case, rule, tracked),
    )  # fmt: skip
