"""Every packet of an untracked service's connections is untracked, and every answer.

How it is decided:
    Each class of packet of a connection (SYN, SYN/ACK, ACK, data, FIN, RST;
    query and answer) is followed through the raw rules of its hook, over the
    network and on lo, told by the request that opened it.

Broken means:
    Half of the flow is INVALID or picked up in the middle, and the table
    fills all the same (K14, K15).

What to do:
    Nothing, where the plan is alone: its rules stand first. Where a template
    (zone, helper) is given before raw, move it behind.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.plan.obligations.spec import Said, Spec
from conntrim.core.prove.inputs import Inputs

NAME = "two-sided"


def by_sets(inputs: Inputs) -> Iterator[Said]:
    """Packets that stay tracked."""
    for flow in inputs.flows:
        on = inputs.followed(flow)
        for way, flags in flow.steps():
            what = f"a packet of {flow.label}" if way == "request" else f"an answer of {flow.label}"
            tracked = on.opened & ~on.after.untracked(way, flags)
            yield from inputs.broken_of(NAME, f"{what} stays tracked", tracked, flow, (way, flags), universe=on.whole)


SPEC = Spec(NAME, "every packet of the policy's connections and every answer is untracked", by_sets)
