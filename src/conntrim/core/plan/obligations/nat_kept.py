"""No connection that a NAT rule may translate becomes untracked, and no answer to one.

How it is decided:
    The first packets of all connections are walked through the nat chains of
    the rules before. Those that a rule may translate, and their answers with
    the addresses and ports that the translation gives them, are held against
    what becomes untracked (K4, K44).

Broken means:
    Translation silently stops: the answers of a redirected or masqueraded
    connection leave under the wrong address, or reach the wrong host.

What to do:
    `--to-ports 1024-65535` at a gateway's MASQUERADE keeps its clients off a
    service's port. A service that is itself redirected stays tracked.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Direction
from conntrim.core.plan.obligations.spec import Said, Spec
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.nat_preservation import Kept

NAME = "nat-kept"


def by_sets(inputs: Inputs) -> Iterator[Said]:
    """Rules that lose connections. What this host opens from a service's port it may not open while a program
    listens there (K74)."""
    tcp = inputs.from_services() & inputs.space.protocol(Protocol.TCP)
    for cut in Kept(inputs.space, inputs.pair.whole(), inputs.unheld(), inputs.local or None).cuts():
        mine = tcp if cut.direction in (Direction.OUTBOUND, Direction.LOOPBACK) else inputs.space.nothing
        yield from inputs.broken(NAME, cut.why, cut.packets & ~mine, cut.universe)
        yield from inputs.broken(NAME, cut.why, cut.packets & mine, cut.universe, unheld=True)


SPEC = Spec(NAME, "no connection that a rule may translate becomes untracked, and no answer to one", by_sets)
