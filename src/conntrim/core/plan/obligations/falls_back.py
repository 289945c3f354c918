"""What a fall back to the rules before loses of the services' connections is listed.

How it is decided:
    What was open before the trial has an entry, which `apply` keeps: it goes
    on (K88). What was opened while untracked has none: its next packet is
    asked of the rules before, from an empty table (K13), and what follows it.

Broken means:
    It is never broken: what stalls, is cut or ends late is listed as a cost,
    by service, kind and the rule that refuses it, and does not stand in the
    way of a plan.

What to do:
    Read the costs before a trial of a service with long connections.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.plan.obligations.spec import Listed, Said, Spec
from conntrim.core.prove.falling import Falling
from conntrim.core.prove.inputs import Inputs

NAME = "falls-back"


def by_sets(inputs: Inputs) -> Iterator[Said]:
    """The costs."""
    for flow in inputs.flows:
        on = inputs.followed(flow)
        yield from map(Listed, Falling(on.before, on.opened, inputs.pair.whole()[0], inputs.local).costs())


SPEC = Spec(
    NAME, "what was open before goes on by its entry, kept through the trial; what else is lost is listed as a cost",
    by_sets,
)  # fmt: skip
