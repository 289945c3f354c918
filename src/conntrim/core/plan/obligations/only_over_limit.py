"""A limit refuses new connections of its class, and nothing else changes for anybody.

How it is decided:
    All packets are walked through the rules without the limits and with
    them, in every direction and ct state. What is newly refused must be in
    state NEW and of a limit's class; nothing may be newly let through, left
    untracked or translated. Whether a client has too many is unknown to the
    model: it is taken to have.

Broken means:
    Packets of connections that are open, or of somebody else's, are refused;
    or a host that tracks nothing would begin to.

What to do:
    Read the witness. Where nothing tracks connections there is nothing to
    limit.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.limits import openers
from conntrim.core.plan.obligations.spec import Judgement, Spec
from conntrim.core.prove.classes import Class, only_of
from conntrim.core.prove.unchanged import Differs

NAME = "only-over-limit"


def by_plan(c: Compiled) -> Iterator[Judgement]:
    """What limits do to others."""
    classes = [Class(e.direction, family, openers(e, family)) for e in c.limits for family in e.families()]
    local = c.facts.local
    yield from only_of(c.untracked, c.limited, classes, (Differs.REFUSED,), local, tick=c.tick, listed=c.listed)


SPEC = Spec(NAME, "only packets that open a connection of a limit's class may be refused", by_plan=by_plan)
