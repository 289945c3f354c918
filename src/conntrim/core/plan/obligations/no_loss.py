"""What was admitted stays admitted, for everybody else too.

How it is decided:
    Unsolicited packets, packets of established connections and ICMP errors
    about them are compared before and after. Connections of others of which
    some packet becomes untracked are followed packet by packet, those that
    this host opens from a service's own port among them (K74).

Broken means:
    Collateral damage: packets are refused that have nothing to do with the
    services, or connections are cut in half.

What to do:
    `from` in the policy keeps a service's clients apart from whom this host
    asks from the same port.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Field
from conntrim.core.model.service import Direction
from conntrim.core.plan.obligations.spec import Said, Spec
from conntrim.core.prove.affected_set import along, region
from conntrim.core.prove.compare import DIRECTIONS, Population
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import BACK, Flow, others
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.nat_preservation import before_tracking
from conntrim.core.prove.reachability import packets_of
from conntrim.core.prove.symbolic_connection import Conversations

NAME = "no-loss"
OWN_PORT = (
    "of connections that this host itself opens from the service's port to whom the rules do not let ask it "
    "(`from` in the policy keeps them apart)"
)


def by_sets(inputs: Inputs) -> Iterator[Said]:
    """What is newly dropped, by population and of connections cut in half."""
    for direction in DIRECTIONS:
        yield from _populations(inputs, direction)
    for direction in (*DIRECTIONS, Direction.LOOPBACK):
        yield from _halves(inputs, direction)


def _populations(inputs: Inputs, direction: Direction) -> Iterator[Said]:
    question = inputs.question(direction)
    mine = inputs.space.sets.either([inputs.own(direction), *inputs.requests(direction)])
    for population in Population:
        universe = question.universe(population)
        old, new = (question.admitted(r, population) & universe for r in (question.before, question.after))
        lost = old & ~new if population is Population.STRANGERS else old & ~new & ~mine
        yield from inputs.broken(NAME, f"newly dropped, {population} {direction}", lost, universe, population)


def _halves(inputs: Inputs, direction: Direction) -> Iterator[Said]:
    """Connections that are none of the policy's and of which some packets become untracked (K14, K15)."""
    space, touched = inputs.space, _touched(inputs, direction)
    opens = direction in (Direction.OUTBOUND, Direction.LOOPBACK)
    mine = inputs.from_services() if opens else space.nothing
    for flow in others(space.family, direction):
        whole = flow.connections(space) & touched
        for own, scope in ((True, whole & mine), (False, whole & ~mine)):
            if scope != space.nothing:
                yield from _half(inputs, replace(flow, label=OWN_PORT) if own else flow, direction, scope)


def _half(inputs: Inputs, flow: Flow, direction: Direction, scope: Set) -> Iterator[Said]:
    there = inputs.walked(inputs.pair.whole(direction), direction, scope)
    back = inputs.walked(inputs.pair.whole(BACK[direction]), BACK[direction], scope, mirrored=True)
    before, after = (Conversations(inputs.space, flow, there[n], back[n], inputs.loose) for n in (0, 1))
    opened, whole = before.opened(), inputs.stateless(scope)
    unheld = flow.label == OWN_PORT and flow.protocol == Protocol.TCP
    for step in flow.steps():
        lost = opened & before.passes(*step) & ~after.passes(*step)
        yield from inputs.broken_of(
            NAME, f"newly dropped, {flow.label}", lost, flow, step, universe=whole, unheld=unheld
        )


def _touched(inputs: Inputs, direction: Direction) -> Set:
    """The requests of those connections: they or their answers become untracked."""
    space, pair, back = inputs.space, inputs.pair, BACK[direction]
    universe, found = _anybodys(inputs, direction), space.nothing
    for way, turned in ((direction, False), (back, True)):
        meeting = region(space, way, along(pair.changed, way), inputs.local or None, mirrored=turned)
        one, other = map(before_tracking, pair.along(way))
        old, new = inputs.walked((one, other), way, universe & meeting, mirrored=turned)
        found = found | (new.untracked & ~old.untracked)
    flags = space.sets.literals(*space.bits[Field.TCP_FLAGS])
    return universe & found.exists(flags) & ~space.sets.either(inputs.requests(direction))


def _anybodys(inputs: Inputs, direction: Direction) -> Set:
    """The first packets of all connections, those under an address that is none of this host's among them."""
    local = inputs.local or None
    found = packets_of(inputs.space, direction, local)
    if direction is Direction.LOOPBACK:
        ours = inputs.local | LOOPBACK
        found = found & inputs.space.field(Field.SRC, ours) & inputs.space.field(Field.DST, ours)
    elif direction is not Direction.FORWARDED:
        found = found | packets_of(inputs.space, direction, local, foreign=True)
    return found & inputs.unheld() if direction in (Direction.OUTBOUND, Direction.LOOPBACK) else found


SPEC = Spec(NAME, "no packet that was let through is newly dropped outside the policy's own connections", by_sets)
