"""No connection that a NAT rule may translate becomes untracked, and no answer to one.

How it is decided:
    The first packets of all connections are walked through the nat chains of
    the rules before. Those that a rule may translate, and their answers with
    the addresses and ports that the translation gives them, are held against
    what becomes untracked (K4, K44). Remarked upon, not counted, are: what
    loses its answers only if of thousands of ports it has the service's; what
    a program binds to another address than its way has (K143); what a program
    of this host marks itself and sends to this host, where a rule translates
    its source alone, and every packet goes through without, or the program
    also binds to another address than it asks.

Broken means:
    Translation silently stops: the answers of a redirected or masqueraded
    connection leave under the wrong address, or reach the wrong host.

What to do:
    `--to-ports 1024-65535` at a gateway's MASQUERADE keeps its clients off a
    service's port. A service that is itself redirected stays tracked.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Direction
from conntrim.core.plan.obligations.spec import Listed, Said, Spec
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.nat_preservation import Cut, Kept, bound_on_lo
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.symbolic_connection import Conversations

NAME = "nat-kept"
BY_A_PROGRAM = " where a program of this host marks them so; round lo they keep the address that they were sent from"
BOUND_TOO = " where a program of this host marks them so and binds to another address than it asks; some may be refused"


def by_sets(inputs: Inputs) -> Iterator[Said]:
    """Rules that lose connections. What this host opens from a service's port it may not open while a program
    listens there (K74)."""
    served = inputs.from_services()
    tcp = served & inputs.space.protocol(Protocol.TCP)
    for cut in Kept(inputs.space, inputs.pair.whole(), inputs.unheld(), inputs.local or None, served).cuts():
        if cut.seldom:
            yield from map(Listed, inputs.told(cut.why, cut.packets, cut.universe))
            continue
        marked = _marked_round_lo(inputs, cut)
        harmless = marked & _harmless(inputs) if marked != inputs.space.nothing else marked
        bound = marked & bound_on_lo(inputs.space, inputs.local) & ~harmless if inputs.local else inputs.space.nothing
        yield from map(Listed, inputs.told(f"{cut.why}{BY_A_PROGRAM}", harmless, cut.universe))
        yield from map(Listed, inputs.told(f"{cut.why}{BOUND_TOO}", bound, cut.universe))
        lost = cut.packets & ~harmless & ~bound
        mine = tcp if cut.direction in (Direction.OUTBOUND, Direction.LOOPBACK) else inputs.space.nothing
        yield from inputs.broken(NAME, cut.why, lost & ~mine, cut.universe)
        yield from inputs.broken(NAME, cut.why, lost & mine, cut.universe, unheld=True)


def _marked_round_lo(inputs: Inputs, cut: Cut) -> Set:
    """What loses the translation of its source only where a program of this host marked it (SO_MARK)."""
    space = inputs.space
    if not cut.round_lo or Field.MARK not in space.bits:
        return space.nothing
    return cut.packets & ~space.field(Field.MARK, Intervals.of(0))


def _harmless(inputs: Inputs) -> Set:
    """What either goes round lo untracked and unhindered, or comes from a service's own port: without a translation it
    merely keeps its address."""
    ways = [inputs.followed(flow).after for flow in inputs.flows if flow.direction is Direction.LOOPBACK]
    goes = [_goes_untracked(inputs.space, way) for way in ways]
    return inputs.space.sets.either([inputs.from_services(), *goes])


def _goes_untracked(space: PacketVars, way: Conversations) -> Set:
    """The connections of which every packet is untracked and gets through, answers whatever mark they bear."""
    found, marks = space.everything, space.sets.literals(*space.bits[Field.MARK])
    for who, flags in way.flow.steps():
        goes = way.untracked(who, flags) & way.passes(who, flags)
        found = found & (~(~goes).exists(marks) if who == "answer" else goes)
    return found


SPEC = Spec(NAME, "no connection that a rule may translate becomes untracked, and no answer to one", by_sets)
