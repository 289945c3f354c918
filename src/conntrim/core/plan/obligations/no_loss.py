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

from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Direction
from conntrim.core.plan.obligations.spec import Listed, Said, Spec
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.dialogues import Dialogues
from conntrim.core.prove.flows import Flow, others
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.nat_preservation import bound_on_lo
from conntrim.core.prove.populations import DIRECTIONS, PACKETS, Population

NAME = "no-loss"
OWN_PORT = (
    "of connections that this host itself opens from the service's port to whom the rules do not let ask it "
    "(`from` in the policy keeps them apart)"
)

BOUND = ", where a program binds to one of this host's addresses to ask another"


def by_sets(inputs: Inputs) -> Iterator[Said]:
    """What is newly dropped, by population and of connections cut in half."""
    for direction in DIRECTIONS:
        yield from _populations(inputs, direction)
    for direction in (*DIRECTIONS, Direction.LOOPBACK):
        yield from _halves(inputs, direction)


def _populations(inputs: Inputs, direction: Direction) -> Iterator[Said]:
    question = inputs.question(direction)
    mine = inputs.space.sets.either([inputs.own(direction), *inputs.requests(direction)])
    for population in PACKETS:
        universe = question.universe(population)
        old, new = (question.admitted(r, population) & universe for r in (question.before, question.after))
        lost = old & ~new if population is Population.UNSOLICITED else old & ~new & ~mine
        yield from inputs.broken(NAME, f"newly dropped, {population} {direction}", lost, universe, population)


def _halves(inputs: Inputs, direction: Direction) -> Iterator[Said]:
    """Connections that are none of the policy's and of which some packets become untracked (K14, K15)."""
    space, everybodys = inputs.space, Dialogues(inputs, direction)
    opens = direction in (Direction.OUTBOUND, Direction.LOOPBACK)
    mine = inputs.from_services() if opens else space.nothing
    for flow in others(space.family, direction):
        whole = everybodys.scope(flow)
        for own, scope in ((True, whole & mine), (False, whole & ~mine)):
            if scope != space.nothing:
                yield from _half(everybodys, replace(flow, label=OWN_PORT) if own else flow, scope)


def _half(everybodys: Dialogues, flow: Flow, scope: Set) -> Iterator[Said]:
    inputs = everybodys.inputs
    before, after = everybodys.follow(flow, scope)
    opened, whole = before.opened(), inputs.stateless(everybodys.anybodys())
    unheld = flow.label == OWN_PORT and flow.protocol == Protocol.TCP
    for step in flow.steps():
        lost = opened & before.passes(*step) & ~after.passes(*step)
        if flow.label == OWN_PORT and everybodys.direction is Direction.LOOPBACK:
            bound = bound_on_lo(inputs.space, inputs.local)
            yield from map(Listed, inputs.told(f"newly dropped, {flow.label}{BOUND}", lost & bound, whole))
            lost = lost & ~bound
        yield from inputs.broken_of(
            NAME, f"newly dropped, {flow.label}", lost, flow, step, universe=whole, unheld=unheld
        )


SPEC = Spec(NAME, "no packet that was let through is newly dropped outside the policy's own connections", by_sets)
