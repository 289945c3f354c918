"""The cure of a hole: the catch-all accept of UNTRACKED becomes one accept for each untracked service."""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.rulesets import rewrite
from conntrim.core.diagnose.rulesets.asked import by_target
from conntrim.core.diagnose.rulesets.case import Home, RuleCase, Side, Taken, Told
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Edit
from conntrim.core.model.ruleset import In, Interface, Match, Rule


def edits(case: RuleCase, taken: Taken, by: Rule | None) -> tuple[Edit, ...]:
    """Narrow the accept `by`, let in what it let in for a reason, and pin the rules that trust a source port."""
    narrowed = rewrite.without_untracked(case.home(by), by) if by else ()
    if by is None or not narrowed:
        return ()
    home = case.home(by)
    found: list[Edit] = []
    for side in case.sides:
        for one in side.taken:
            if one.direction is taken.direction:
                found += _pinned(case, one.rule)
                found += rewrite.before(home, by, accept(case, side, one, home), by)
    return tuple(dict.fromkeys((*found, *narrowed)))


def accept(case: RuleCase, side: Side, taken: Taken, home: Home) -> Rule:
    """The accept of what a NOTRACK rule takes, in the chain `home`."""
    peer: In | None = _peer(case, taken.rule)
    if by_target(taken.rule):
        free = side.admitted(taken.direction, None, untracked=False) & side.opening() & taken.packets
        shut = free == side.space.nothing
        peer = rewrite.blank("CLIENT", rewrite.family_of_table(home)) if shut else None
    matches = taken.rule.matches
    if peer is not None:
        matches = rewrite.tightened(taken.rule, home, peer) if not by_target(taken.rule) else _with(matches, peer)
    kept = tuple(m for m in rewrite.ordered(matches) if not (isinstance(m, Interface) and m.way == "out"))
    return rewrite.made((*kept, rewrite.state_match(home, CtState.UNTRACKED)), rewrite.ACCEPT)


def admitting(case: RuleCase, taken: Taken, told: Told) -> tuple[Edit, ...]:
    """Accept the untracked packets `told`, which the filter refuses."""
    place = case.in_front(told.witness)
    if place is None or (told.conditional and by_target(taken.rule)):
        return ()
    home, anchor = place
    matches = told.matches if by_target(taken.rule) else rewrite.tightened(taken.rule, home, _peer(case, taken.rule))
    asked = (*rewrite.ordered(matches), rewrite.state_match(home, CtState.UNTRACKED))
    pinned = () if by_target(taken.rule) else tuple(_pinned(case, taken.rule))
    return *pinned, *rewrite.in_front(home, anchor, rewrite.made(asked, rewrite.ACCEPT), taken.rule)


def _with(matches: tuple[Match, ...], peer: In) -> tuple[Match, ...]:
    return matches if rewrite.asks(matches, Field.SRC) else (*matches, peer)


def _twins(case: RuleCase, rule: Rule) -> Iterator[Rule]:
    """The rules that name the same service the other way round, whether or not they name its servers."""
    for other in case.notracks:
        turned = [m for m in rewrite.mirrored(other.matches) if not _about(m, Field.SRC)]
        mine = [m for m in rewrite.ordered(rule.matches) if not _about(m, Field.SRC, Field.TCP_FLAGS)]
        if other is not rule and turned == [m for m in mine if not isinstance(m, Interface)]:
            yield other


def _about(match: Match, *fields: Field) -> bool:
    return isinstance(match, In) and match.field in fields


def _peer(case: RuleCase, rule: Rule) -> In:
    """The servers that a twin names, else a blank to fill in."""
    for twin in _twins(case, rule):
        named = next((m for m in twin.matches if isinstance(m, In) and m.field is Field.DST), None)
        if named:
            return In(Field.SRC, named.values)
    return rewrite.blank("SERVER", rewrite.family_of_table(case.home(rule)))


def _pinned(case: RuleCase, rule: Rule) -> Iterator[Edit]:
    """A rule that takes packets by their source port, and its twin, with the server in them."""
    if by_target(rule) or not rewrite.asks(rule.matches, Field.SPORT) or rewrite.asks(rule.matches, Field.SRC):
        return
    home, peer = case.home(rule), _peer(case, rule)
    pinned = rewrite.made(rewrite.tightened(rule, home, peer), rule.statements, rule.comment)
    yield from rewrite.replaced(home, rule, pinned)
    for twin in _twins(case, rule):
        if not rewrite.asks(twin.matches, Field.DST):
            to = In(Field.DST, peer.values)
            pinned = rewrite.made(rewrite.ordered((*twin.matches, to)), twin.statements, twin.comment)
            yield from rewrite.replaced(case.home(twin), twin, pinned)
