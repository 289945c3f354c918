"""Time-outs of services change how long entries live, and nothing else.

How it is decided:
    All packets are walked through the rules without the time-outs and with
    them, in every direction and ct state: the same are let through, left
    untracked, given templates and translated. Where iptables' raw table gives
    the time-outs, a template is what gives them: to the service's packets.

Broken means:
    A rule of the plan does more than it is for; or a host that tracks nothing
    would begin to.

What to do:
    Read the witness. Where nothing tracks connections nothing has time-outs.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.obligations.spec import Judgement, Spec
from conntrim.core.plan.timed import opened_by
from conntrim.core.prove.classes import Class, only_of
from conntrim.core.prove.unchanged import Differs

NAME = "verdicts-kept"


def by_plan(c: Compiled) -> Iterator[Judgement]:
    """What the rules do beside."""
    classes = [Class(e.direction, family, opened_by(e, family)) for e in c.timeouts for family in e.families()]
    ways = (Differs.TEMPLATES,) if c.in_raw else ()
    yield from only_of(c.limited, c.after, classes, ways, c.facts.local, tick=c.tick, listed=c.listed)


SPEC = Spec(NAME, "every packet is let through, tracked and translated as without the time-outs", by_plan=by_plan)
