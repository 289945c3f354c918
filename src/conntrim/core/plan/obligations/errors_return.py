"""ICMP errors about untracked flows come in where those about tracked ones did.

How it is decided:
    Unreachable, too big, time exceeded and parameter problem are RELATED
    with an entry and INVALID without one (K19): what comes in as the former
    must come in as the latter.

Broken means:
    Black holes: path MTU discovery stops, refusals turn into time-outs.

What to do:
    The plan adds accepts in front of what drops INVALID.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.model.service import Direction
from conntrim.core.plan.obligations.spec import Said, Spec
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.populations import Population

NAME = "errors-return"


def by_sets(inputs: Inputs) -> Iterator[Said]:
    """Packets that pass with an entry and are dropped without one."""
    universe = inputs.question(Direction.INBOUND).universe(Population.UNSOLICITED)
    lost = inputs.lost_without_entry(Direction.INBOUND)
    yield from inputs.broken(NAME, "dropped without an entry, let through with one", lost, universe)


SPEC = Spec(NAME, "ICMP errors are let in without an entry where they were let in with one", by_sets)
