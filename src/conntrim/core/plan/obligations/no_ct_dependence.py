"""What counts, varies, leaves a trace or asks the entry meets the same packets of the services' connections.

How it is decided:
    A rule that counts (limit, hashlimit, recent, quota), whose answer varies
    along a connection (length, TCP options, the hour, a set that rules fill)
    or that leaves something for others (a mark, a name in a set, a log line)
    is asked of every packet of the dialogues, in the state that each has:
    the same packets must come to it before and after. A rule that asks the
    conntrack entry for more than the state, or writes to it, is a dependence
    where a packet of the services comes to it.

Broken means:
    It is never broken, but not decided: what such a rule would have done is
    not worked out. A limit meant for connections would meet every packet;
    a mark kept in the entry is kept no more. Entries that no rule names
    (accounting, flow offload) are not looked at.

What to do:
    Move what counts in front of the accept of ESTABLISHED, or leave the
    service tracked.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.model.service import Direction
from conntrim.core.plan.obligations.spec import Said, Spec, Undecided
from conntrim.core.prove.alike import Alike
from conntrim.core.prove.inputs import Inputs

NAME = "no-ct-dependence"


def by_sets(inputs: Inputs) -> Iterator[Said]:
    """Rules that meet other packets than before, or ask what will not be there."""
    alike = Alike(inputs)
    for flow in inputs.flows:
        alike.flow(flow)
    for direction in (Direction.INBOUND, Direction.OUTBOUND):
        alike.errors(direction)
    yield from (Undecided(why, rule) for why, rule in alike.found.items())


SPEC = Spec(
    NAME, "what counts, varies or leaves a trace meets the same packets of each connection; nothing asks its entry",
    by_sets,
)  # fmt: skip
