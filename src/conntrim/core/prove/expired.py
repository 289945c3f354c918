"""Whether a trial is as good as not there once its guard has expired.

A rule whose guard is false matches nothing: without those rules the trial must admit, leave untracked, give templates
to and translate exactly the packets that the rules before it do, on every way through the hooks and in every ct state.
Where the guard is asked otherwise, or its rules switch conntrack on (K5), it is a question like any other that no
packet answers: one variable, which is then false.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Obligation, ObligationStatus
from conntrim.core.model.ruleset import Chain, InSet, Match, Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.netfilter.question_text import membership, question
from conntrim.core.prove.diagram import NotDecided, Set, deciding
from conntrim.core.prove.packet_text import describe_packet
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Change
from conntrim.core.prove.populations import families_of
from conntrim.core.prove.reachability import told_of
from conntrim.core.prove.rule_index import Listed
from conntrim.core.prove.unchanged import Differs, Unchanged, gravity

NAME = "guard-expired"
FINE = "with the guard false the trial admits, untracks and translates exactly what the rules before it do"


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
                case = Unchanged(space, change.pair(family), told_of(local, family), _Expired(space, guards))
                if (worst := min(case.differences(), key=lambda d: gravity(d.standing), default=None)) is not None:
                    why = f"{worst.direction}: with the guard expired the trial {worst.how.value}: {worst.packets}"
                    return Obligation(NAME, worst.standing, why, describe_packet(worst.witness))
    except NotDecided as why:
        return Obligation(NAME, ObligationStatus.NOT_DECIDED, str(why))
    return Obligation(NAME, ObligationStatus.PROVED, FINE)


@dataclass(frozen=True, slots=True)
class _Expired:
    """Nothing is meant to differ once the guards are false; where no rule on the way asks for one there is no such
    variable."""

    space: PacketVars
    guards: Collection[Match]

    def __call__(self, direction: Direction, how: Differs, found: Set) -> Set:
        asked = (membership(g) if isinstance(g, InSet) else question(g) for g in self.guards)
        for number in (self.space.free[each] for each in asked if each in self.space.free):
            found = (found & ~self.space.sets.var(number)).exists(self.space.sets.literals(number))
        return found


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
