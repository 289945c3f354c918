"""Whether rules that are about some classes of connections change nothing for anybody else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.prove.diagram import NotDecided, Set, deciding
from conntrim.core.prove.packet_text import describe_packet
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Change
from conntrim.core.prove.populations import families_of
from conntrim.core.prove.reachability import told_of
from conntrim.core.prove.rule_index import Listed
from conntrim.core.prove.unchanged import Differs, Unchanged

Verdict = tuple[ObligationStatus, str, str]
"""A status, why, and a witness."""


@dataclass(frozen=True, slots=True)
class Class:
    """The first packets of connections of one kind, in one family."""

    direction: Direction
    family: Family
    fields: Mapping[Field, Intervals]

    def openers(self, space: PacketVars) -> Set:
        """They, in the state that they have."""
        found = space.state(CtState.NEW)
        for name, values in self.fields.items():
            found = found & space.field(name, values)
        return found


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
