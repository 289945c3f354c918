"""Resets, ICMP errors and the answers of REJECT to untracked packets leave.

How it is decided:
    As for errors-return, of what leaves: a reset that REJECT sends is RELATED
    to the entry of the packet that it answers, and INVALID where there is
    none (K19).

Broken means:
    Time-outs instead of refusals.

What to do:
    The plan adds accepts in front of what drops INVALID.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.model.service import Direction
from conntrim.core.plan.obligations.spec import Said, Spec
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.populations import Population

NAME = "answers-leave"


def by_sets(inputs: Inputs) -> Iterator[Said]:
    """Packets that pass with an entry and are dropped without one."""
    universe = inputs.question(Direction.OUTBOUND).universe(Population.UNSOLICITED)
    lost = inputs.lost_without_entry(Direction.OUTBOUND)
    yield from inputs.broken(NAME, "dropped without an entry, let through with one", lost, universe)


SPEC = Spec(NAME, "resets and ICMP errors leave without an entry where they left with one", by_sets)
