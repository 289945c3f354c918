"""An unsolicited packet that was refused stays refused, but for what is listed as newly admitted.

How it is decided:
    Unsolicited packets are compared before and after, in all directions. What
    is newly admitted outside the services' own connections breaks it; what is
    within them (any packet of who may open the service, answers of pinned
    servers) is listed as residual exposure, the largest part first.

Broken means:
    A hole, such as source port 11211 reaching port 3306 (K20).

What to do:
    Narrow the accept of UNTRACKED packets that the witness meets.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.model.service import Direction
from conntrim.core.plan.obligations.spec import Listed, Said, Spec
from conntrim.core.prove.cube_cover import boxes
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.packet_text import describe, reach_of
from conntrim.core.prove.populations import DIRECTIONS, Population

NAME = "no-exposure"
MOST_RESIDUAL = 3
"""Boxes told of what a policy newly admits in one direction."""


def by_sets(inputs: Inputs) -> Iterator[Said]:
    """Unsolicited packets that are newly admitted."""
    for direction in DIRECTIONS:
        question = inputs.question(direction)
        universe = question.universe(Population.UNSOLICITED)
        old, new = (question.admitted(r, Population.UNSOLICITED) & universe for r in (question.before, question.after))
        admitted, own = new & ~old, inputs.own(direction)
        who = f"newly admitted, {Population.UNSOLICITED} {direction}"
        yield from inputs.broken(NAME, who, admitted & ~own, universe)
        yield from _residual(inputs, admitted & own, universe, direction)


def _residual(inputs: Inputs, found: Set, universe: Set, direction: Direction) -> Iterator[Listed]:
    """What is newly admitted inside the policy's own legs, the largest box first, and who that is."""
    parts, whole = boxes(inputs.space, found, universe, MOST_RESIDUAL)
    for box in parts:
        yield Listed(f"{describe(inputs.space, box)}: {reach_of(box)}, {direction}")
    if not whole:
        yield Listed(f"and more, {direction}")


SPEC = Spec(NAME, "no unsolicited packet is newly admitted outside the policy's own connections", by_sets)
