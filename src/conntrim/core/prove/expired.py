"""Whether a trial is as good as not there once its guard has expired.

A rule whose guard is false matches nothing: without those rules the trial must admit, leave untracked, give templates
to and translate exactly the packets that the rules before it do, on every way through the hooks and in every ct state.
Where the guard is asked otherwise, or its rules switch conntrack on (K5), it is a question like any other that no
packet answers: one variable, which is then false.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Obligation, ObligationStatus
from conntrim.core.model.ruleset import Chain, InSet, Match, Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.netfilter.question_text import membership, question
from conntrim.core.prove.affected_set import along, region
from conntrim.core.prove.cube_cover import boxes
from conntrim.core.prove.diagram import NotDecided, Set, deciding
from conntrim.core.prove.packet_text import describe, describe_packet
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Change, Pair
from conntrim.core.prove.populations import families_of
from conntrim.core.prove.reachability import Reach, packets_of, reach, told_of
from conntrim.core.prove.rule_index import Listed

NAME = "guard-expired"
FINE = "with the guard false the trial admits, untracks and translates exactly what the rules before it do"

SAME: tuple[tuple[str, Callable[[Reach], Set]], ...] = (
    ("lets through other packets", lambda way: way.arrived),
    ("leaves other packets untracked", lambda way: way.untracked),
    ("gives templates to other packets", lambda way: way.templated),
    ("translates other packets", lambda way: way.translated),
)
"""What must not differ, and how it is told."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """One family's question."""

    space: PacketVars
    pair: Pair
    guards: Collection[Match]
    local: Intervals | None

    def broken(self) -> Iterator[Obligation]:
        """What still differs, direction by direction."""
        for direction in Direction:
            changed = along(self.pair.changed, direction)
            universe = packets_of(self.space, direction, self.local)
            scope = universe & region(self.space, direction, changed, self.local)
            pair = self.pair.along(direction)
            before, trial = (reach(self.space, a, direction, scope, local=self.local) for a in pair)
            for what, part in SAME:
                differing = self._expired(part(before) ^ part(trial))
                if differing != self.space.nothing:
                    yield self._told(f"{direction}: with the guard expired the trial {what}", differing, universe)

    def _expired(self, found: Set) -> Set:
        """With the guards false; where no rule on the way asks for one there is no such variable."""
        asked = (membership(g) if isinstance(g, InSet) else question(g) for g in self.guards)
        for number in (self.space.free[each] for each in asked if each in self.space.free):
            found = (found & ~self.space.sets.var(number)).exists(self.space.sets.literals(number))
        return found

    def _told(self, why: str, differing: Set, universe: Set) -> Obligation:
        (box, *_), _ = boxes(self.space, self.space.any_state(differing), self.space.any_state(universe), 1)
        status = ObligationStatus.NOT_DECIDED if box.conditions else ObligationStatus.BROKEN
        return Obligation(NAME, status, f"{why}: {describe(self.space, box)}", describe_packet(box.witness))


def expired(
    before: Ruleset,
    trial: Ruleset,
    guards: Collection[Match],
    local: Intervals,
    *,
    tick: Callable[[], None] = lambda: None,
    listed: Listed | None = None,
) -> Obligation:
    """`guard-expired` for a trial whose rules carry one of these matches; `local` are the host's addresses (empty: not
    known), `listed` is what was listed of BEFORE when it was read."""
    change = Change.of(before, _without(trial, guards, before), listed)
    try:
        with deciding():
            for family in families_of(before, trial):
                space = PacketVars(family, change.names, tick)
                case = _Trial(space, change.pair(family), guards, told_of(local, family))
                if (worst := min(case.broken(), key=_gravity, default=None)) is not None:
                    return worst
    except NotDecided as why:
        return Obligation(NAME, ObligationStatus.NOT_DECIDED, str(why))
    return Obligation(NAME, ObligationStatus.PROVED, FINE)


def _without(trial: Ruleset, guards: Collection[Match], before: Ruleset) -> Ruleset:
    """The trial without the rules that need the guard to be true; whole, if these alone use conntrack."""
    tables = tuple(
        replace(table, chains=tuple(_unguarded(chain, guards) for chain in table.chains)) for table in trial.tables
    )
    left = replace(trial, tables=tables)
    return left if arrange(trial).active == arrange(before).active else trial


def _unguarded(chain: Chain, guards: Collection[Match]) -> Chain:
    rules = tuple(rule for rule in chain.rules if not any(match in guards for match in rule.matches))
    return chain if len(rules) == len(chain.rules) else replace(chain, rules=rules)


def _gravity(obligation: Obligation) -> bool:
    return obligation.standing is not ObligationStatus.BROKEN
