"""No flow with a helper (FTP, TFTP, SIP and the like) becomes untracked.

How it is decided:
    Packets that a rule gives a helper are held against what becomes
    untracked. A port at which a helper looks by itself, where it is loaded
    with automatic assignment, is not decided.

Broken means:
    Data channels die: nothing expects them any more.

What to do:
    Leave the service tracked, or take the helper away where nobody needs it.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.capacity.untrack import HELPER_PORTS
from conntrim.core.model.protocol import protocol_name
from conntrim.core.model.ruleset import Helper
from conntrim.core.model.service import Direction
from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.obligations.spec import OPEN, Judgement, Said, Spec
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.populations import DIRECTIONS, Population
from conntrim.core.prove.reachability import Reach

NAME = "helper-kept"


def by_sets(inputs: Inputs) -> Iterator[Said]:
    """Newly untracked packets that a rule gave a helper."""
    for direction in DIRECTIONS:
        question = inputs.question(direction)
        yield from _helped(inputs, question.before, question.after, question.universe(Population.UNSOLICITED))
    for flow in inputs.flows:
        if flow.direction is Direction.LOOPBACK:
            on = inputs.followed(flow)
            yield from _helped(inputs, on.before.there, on.after.there, on.whole)


def _helped(inputs: Inputs, before: Reach, after: Reach, universe: Set) -> Iterator[Said]:
    newly = after.untracked & ~before.untracked
    for _, hit in before.hits:
        if isinstance(hit.statement, Helper) and hit.statement.serves(inputs.space.family):
            why = f"{hit.rule.place} gives packets that become untracked the helper {hit.statement.name}"
            yield from inputs.broken(NAME, why, inputs.stateless(hit.packets) & newly, universe)


def by_plan(c: Compiled) -> Iterator[Judgement]:
    """Ports where a helper looks by itself."""
    for entry in c.policy.untrack:
        for (protocol, port), helper in HELPER_PORTS.items():
            if protocol == entry.protocol and port in entry.ports:
                why = f"{protocol_name(protocol)}/{port} is where the {helper} helper looks, if it is loaded"
                yield OPEN, f"{entry}: {why}", ""


SPEC = Spec(
    NAME, "no packet that a rule gives a helper becomes untracked, and no leg's port is one of a helper",
    by_sets, by_plan,
)  # fmt: skip
