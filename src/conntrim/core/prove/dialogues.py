"""Anybody's connections of which a packet is tracked under one rule set of a pair and not under the other: judged
whole, packet by packet with the table that the earlier ones made. No packet by itself tells what becomes of them (K14).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.fields import Field
from conntrim.core.model.service import Direction
from conntrim.core.prove.affected_set import along, region
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import BACK, Flow, others
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.nat_preservation import before_tracking
from conntrim.core.prove.reachability import packets_of
from conntrim.core.prove.symbolic_connection import Conversations


@dataclass(slots=True)
class Dialogues:
    """Those of one direction, without the policy's own. `new_only`: only where a packet *becomes* untracked."""

    inputs: Inputs
    direction: Direction
    new_only: bool = True
    _touched: Set | None = field(default=None, init=False)

    def scope(self, flow: Flow) -> Set:
        """The requests of a flow's connections among them, in any ct state."""
        return flow.connections(self.inputs.space) & self.touched()

    def followed(self) -> Iterator[tuple[Flow, Conversations, Conversations]]:
        """Each protocol's connections under both rule sets."""
        for flow in others(self.inputs.space.family, self.direction):
            scope = self.scope(flow)
            if scope != self.inputs.space.nothing:
                yield flow, *self.follow(flow, scope)

    def follow(self, flow: Flow, scope: Set) -> tuple[Conversations, Conversations]:
        """Connections of a flow, under both rule sets."""
        inputs, direction = self.inputs, self.direction
        there = inputs.walked(inputs.pair.carrying(direction), direction, scope)
        back = inputs.walked(inputs.pair.carrying(BACK[direction]), BACK[direction], scope, mirrored=True)
        before, after = (Conversations(inputs.space, flow, there[n], back[n], inputs.loose) for n in (0, 1))
        return before, after

    def touched(self) -> Set:
        """The requests of those connections: they or their answers are untracked under one rule set only."""
        if self._touched is None:
            inputs, space, pair, direction = self.inputs, self.inputs.space, self.inputs.pair, self.direction
            universe, found = self.anybodys(), space.nothing
            for way, turned in ((direction, False), (BACK[direction], True)):
                meeting = region(space, way, along(pair.changed, way), inputs.local or None, mirrored=turned)
                one, other = map(before_tracking, pair.along(way))
                old, new = inputs.walked((one, other), way, universe & meeting, mirrored=turned)
                found = found | (new.untracked & ~old.untracked)
                if not self.new_only:
                    found = found | (old.untracked & ~new.untracked)
            flags = space.sets.literals(*space.bits[Field.TCP_FLAGS])
            mine = space.sets.either(inputs.requests(direction))
            self._touched = universe & found.exists(flags) & ~mine
        return self._touched

    def anybodys(self) -> Set:
        """The first packets of all connections, those under an address that is none of this host's among them."""
        inputs, direction, local = self.inputs, self.direction, self.inputs.local or None
        found = packets_of(inputs.space, direction, local)
        if direction is Direction.LOOPBACK:
            ours = inputs.local | LOOPBACK
            found = found & inputs.space.field(Field.SRC, ours) & inputs.space.field(Field.DST, ours)
        elif direction is not Direction.FORWARDED:
            found = found | packets_of(inputs.space, direction, local, foreign=True)
        return found & inputs.unheld() if direction in (Direction.OUTBOUND, Direction.LOOPBACK) else found
