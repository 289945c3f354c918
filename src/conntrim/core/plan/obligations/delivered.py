"""Every packet of the services' connections that was let through still is, with all TCP flags.

How it is decided:
    A connection that could be opened before is followed packet by packet, in
    both directions, with the conntrack table that its earlier packets made:
    NEW and ESTABLISHED before, UNTRACKED after.

Broken means:
    The service stops.

What to do:
    The plan adds what each rule that decided by state needs. What it cannot
    copy (a rule that counts, or asks the entry) it names under remarks: open
    the service by a rule that does not ask for the state.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.plan.obligations.spec import Said, Spec
from conntrim.core.prove.inputs import Inputs

NAME = "delivered"


def by_sets(inputs: Inputs) -> Iterator[Said]:
    """Packets that are newly dropped."""
    for flow in inputs.flows:
        on = inputs.followed(flow)
        for way, flags in flow.steps():
            what = f"a packet of {flow.label}" if way == "request" else f"an answer of {flow.label}"
            lost = on.opened & on.before.passes(way, flags) & ~on.after.passes(way, flags)
            yield from inputs.broken_of(NAME, f"{what} is newly dropped", lost, flow, (way, flags), universe=on.whole)


SPEC = Spec(NAME, "every packet of the policy's connections that was let through is let through", by_sets)
