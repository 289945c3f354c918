"""Whether a change of the rules treats every packet as the rules before it do, but for what is meant.

All packets of every direction are walked through both rule sets, in every ct state: which arrive, which stay untracked,
which get a template, which are translated. What differs must be within what the caller excuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.service import Direction
from conntrim.core.prove.affected_set import along, region
from conntrim.core.prove.cube_cover import boxes
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.packet_text import describe
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Pair
from conntrim.core.prove.reachability import Reach, packets_of, reach


class Differs(Enum):
    """In what two rule sets may treat a packet otherwise; the value says it of the later one."""

    REFUSED = "refuses packets that were let through"
    ADMITTED = "lets through packets that were refused"
    UNTRACKED = "leaves other packets untracked"
    TEMPLATES = "gives templates to other packets"
    TRANSLATED = "translates other packets"


def _parts(old: Reach, new: Reach) -> Iterator[tuple[Differs, Set]]:
    yield Differs.REFUSED, old.arrived & ~new.arrived
    yield Differs.ADMITTED, new.arrived & ~old.arrived
    yield Differs.UNTRACKED, old.untracked ^ new.untracked
    yield Differs.TEMPLATES, old.templated ^ new.templated
    yield Differs.TRANSLATED, old.translated ^ new.translated


@dataclass(frozen=True, slots=True)
class Difference:
    """Packets that are treated otherwise: `broken`, or not decided where they all depend on what is unknown."""

    standing: ObligationStatus
    direction: Direction
    how: Differs
    packets: str
    witness: Packet


Excused = Callable[[Direction, Differs, Set], Set]
"""What is left of packets that differ once those are taken away that are meant to."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """One family's question; `local` are the host's addresses of it, None where they are not known."""

    space: PacketVars
    pair: Pair
    local: Intervals | None
    excused: Excused

    def differences(self) -> Iterator[Difference]:
        """What differs and is not meant, direction by direction."""
        for direction in Direction:
            changed = along(self.pair.changed, direction)
            universe = packets_of(self.space, direction, self.local)
            scope = universe & region(self.space, direction, changed, self.local)
            old, new = (reach(self.space, a, direction, scope, local=self.local) for a in self.pair.along(direction))
            for how, packets in _parts(old, new):
                left = self.excused(direction, how, packets)
                if left != self.space.nothing:
                    yield self._shown(direction, how, left, universe)

    def _shown(self, direction: Direction, how: Differs, packets: Set, universe: Set) -> Difference:
        (box, *_), _ = boxes(self.space, self.space.any_state(packets), self.space.any_state(universe), 1)
        standing = ObligationStatus.NOT_DECIDED if box.conditions else ObligationStatus.BROKEN
        return Difference(standing, direction, how, describe(self.space, box), box.witness)


def gravity(standing: ObligationStatus) -> bool:
    """To sort by: what is broken first."""
    return standing is not ObligationStatus.BROKEN
