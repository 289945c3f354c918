"""A note, no finding: packets that open nothing come in untracked, whoever sends them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conntrim.core.diagnose.rulesets.case import RuleCase
from conntrim.core.diagnose.rulesets.dialogues import REFUSED, names
from conntrim.core.model.finding import Finding
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Direction


def answers_let_in(case: RuleCase, told: Sequence[Finding]) -> Iterator[str]:
    """TCP packets without an entry are refused where they are tracked, and pass where they are not. A program answers
    them with a reset; who scans learns which ports are there. The rules that no finding names."""
    places: dict[str, None] = {}
    for side in case.sides:
        for taken in side.taken:
            if taken.direction not in (Direction.INBOUND, Direction.FORWARDED):
                continue
            if any(f.code != REFUSED and names(f, taken.rule.place) for f in told):
                continue
            untracked, tracked = (side.admitted(taken.direction, None, untracked=how) for how in (True, False))
            answers = untracked & ~tracked & taken.packets & side.space.protocol(Protocol.TCP) & ~side.opening()
            if answers != side.space.nothing:
                places[str(taken.rule.place)] = None
    if places:
        yield f"TCP packets that open nothing come in, of no connection that is known: {', '.join(places)} takes them"
