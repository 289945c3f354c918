"""How a plan stands whose rules are loaded: its obligations, decided anew for the rules and the host of now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import HostFacts
from conntrim.core.model.plan import Obligation, ObligationStatus, Plan
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.plan.compile import Request, compiled
from conntrim.core.plan.obligations.decide import obligations, proved
from conntrim.core.plan.obligations.registry import NAMES

OF_THE_TRIAL = frozenset({"guard-expired", "loads"})
"""What is asked of the trial's texts; confirmed rules have no guard, and are loaded."""


def loaded(
    plan: Plan, now: Ruleset, facts: HostFacts, tick: Callable[[], None] = lambda: None
) -> tuple[Obligation, ...]:
    """All obligations but the trial's own, for the rules that are loaded: without ours as before, with them as after.

    Sets of packets look at the rules that are there. The arguments by form look at what a plan of today would add: a
    rule of others that stands in its way stands in the way of the loaded one too.
    """
    names = [name for name in NAMES if name not in OF_THE_TRIAL]
    try:
        done = compiled(Request(plan.policy, now, facts, plan.dialect, tick=tick))
    except InputError as error:  # such as a service that is now among the ports of this host's clients
        return tuple(Obligation(name, ObligationStatus.NOT_DECIDED, str(error)) for name in names)
    proof = proved(replace(done, after=now))
    return tuple(o for o in obligations(done, proof) if o.name in names)
