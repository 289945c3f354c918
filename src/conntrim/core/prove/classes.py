"""Whether rules that are about some classes of connections change nothing for anybody else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Fields
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nat import Nat
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.ruleset import Rule, Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.prove.affected_set import along, region
from conntrim.core.prove.chains import Traced
from conntrim.core.prove.cube_cover import boxes
from conntrim.core.prove.diagram import NotDecided, Set, deciding
from conntrim.core.prove.packet_text import describe, describe_packet
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Change, Pair
from conntrim.core.prove.populations import families_of
from conntrim.core.prove.reachability import packets_of, reach, told_of
from conntrim.core.prove.rule_index import Listed
from conntrim.core.prove.unchanged import Differs, Unchanged

Verdict = tuple[ObligationStatus, str, str]
"""A status, why, and a witness."""


@dataclass(frozen=True, slots=True)
class Class:
    """The first packets of connections of one kind, in one family."""

    direction: Direction
    family: Family
    fields: Fields

    def openers(self, space: PacketVars) -> Set:
        """They, in the state that they have."""
        return space.state(CtState.NEW) & space.told(self.fields)


@dataclass(frozen=True, slots=True)
class _Meant:
    """What may differ: for packets that open connections of the classes, in these ways."""

    space: PacketVars
    classes: Collection[Class]
    ways: Collection[Differs]

    def __call__(self, direction: Direction, how: Differs, found: Set) -> Set:
        if how not in self.ways:
            return found
        mine = [c.openers(self.space) for c in self.classes if c.direction is direction]
        if how is Differs.TEMPLATES:  # given before the state is known
            mine = list(map(self.space.any_state, mine))
        return found & ~self.space.sets.either(mine) if mine else found


def only_of(
    before: Ruleset,
    after: Ruleset,
    classes: Collection[Class],
    ways: Collection[Differs],
    local: Intervals,
    *,
    tick: Callable[[], None] = lambda: None,
    listed: Listed | None = None,
) -> Iterator[Verdict]:
    """What AFTER does otherwise than BEFORE beside `ways` to the openers of the classes; nothing is a proof.

    `local` are the host's addresses (empty: not known), `listed` is what was listed of BEFORE when it was read.
    """
    tracking, now = arrange(before).active, arrange(after).active
    for family in dict.fromkeys(c.family for c in classes):
        if now[family] and not tracking[family]:
            yield (
                ObligationStatus.BROKEN,
                f"nothing tracks connections of {family.name} here: the plan would begin to (K5)",
                "",
            )
            return
    change = Change.of(before, after, listed)
    try:
        with deciding():
            for family in families_of(before, after):
                space = PacketVars(family, change.names, tick)
                meant = _Meant(space, [c for c in classes if c.family is family], ways)
                for found in Unchanged(space, change.pair(family), told_of(local, family), meant).differences():
                    why = f"{found.direction}: the plan {found.how.value}: {found.packets}"
                    yield found.standing, why, describe_packet(found.witness)
    except NotDecided as why:
        yield ObligationStatus.NOT_DECIDED, str(why), ""


def met_by(
    c: Asked, wanted: Callable[[Rule], bool], classes: Collection[Class], *, early: bool = False
) -> Iterator[Verdict]:
    """Whether the openers of these classes, as far as they are let through, and nobody else meet the wanted rules of
    AFTER, which BEFORE lacks; nothing is a proof. `early`: these stand before conntrack, and of the packets that meet
    them those alone count that open a connection and are let through."""
    change = Change.of(c.before, c.after)
    traced = {id(rule): rule.matches for rule in change.rulesets[1].rules() if wanted(rule)}
    try:
        with deciding():
            for family in families_of(c.before, c.after):
                space = PacketVars(family, change.names, c.tick)
                walked = _Met(space, change.pair(family), told_of(c.local, family), traced, early)
                for direction in Direction:
                    mine = [e.openers(space) for e in classes if (e.direction, e.family) == (direction, family)]
                    yield from walked.wrong(direction, space.sets.either(mine) if mine else space.nothing)
    except NotDecided as why:
        yield ObligationStatus.NOT_DECIDED, str(why), ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Two rule sets, the host's addresses (empty: not known), and what may say that time is up."""

    before: Ruleset
    after: Ruleset
    local: Intervals
    tick: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class _Met:
    """One family's walks past traced rules."""

    space: PacketVars
    pair: Pair
    local: Intervals | None
    traced: Traced
    early: bool = False

    def wrong(self, direction: Direction, opens: Set) -> Iterator[Verdict]:
        """Who meets them and should not, and who does not and should."""
        space = self.space
        universe = packets_of(space, direction, self.local)
        scope = universe & (region(space, direction, along(self.pair.changed, direction), self.local) | opens)
        _, arranged = self.pair.whole()
        walk = reach(space, arranged, direction, scope, local=self.local, traced=self.traced)
        meets = space.sets.either([visit.fits for visit in walk.visits]) if walk.visits else space.nothing
        if self.early:
            meets = space.any_state(meets) & space.state(CtState.NEW) & walk.arrived
        opened = universe & opens & walk.arrived
        for why, wrong in (
            ("meet the rule and are not the service's", meets & ~opens),
            ("open connections of the service and do not meet the rule", opened & ~meets),
        ):
            if wrong != space.nothing:
                (box, *_), _ = boxes(space, space.any_state(wrong), space.any_state(universe), 1)
                yield (
                    ObligationStatus.BROKEN,
                    f"{direction}: {describe(space, box)} {why}",
                    describe_packet(box.witness),
                )


def may_be_translated(
    ruleset: Ruleset, classes: Collection[Class], local: Intervals, tick: Callable[[], None] = lambda: None
) -> bool:
    """Whether a rule may translate a connection of these classes; NotDecided."""
    change = Change.of(ruleset, ruleset)
    arranged = arrange(ruleset)
    with deciding():
        for each in classes:
            space, own = PacketVars(each.family, change.names, tick), told_of(local, each.family)
            scope = packets_of(space, each.direction, own) & space.any_state(each.openers(space))
            walk = reach(space, arranged, each.direction, scope, local=own)
            if any(isinstance(hit.statement, Nat) and hit.packets != space.nothing for _, hit in walk.hits):
                return True
    return False
