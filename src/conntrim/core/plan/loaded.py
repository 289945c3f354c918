"""How a plan stands whose rules are loaded: its obligations, decided anew for the rules and the host of now."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import HostFacts
from conntrim.core.model.plan import Obligation, ObligationStatus, Plan, Purpose, purpose_of
from conntrim.core.model.ruleset import Jump, Ruleset, Table
from conntrim.core.plan.compile import Request, compiled
from conntrim.core.plan.obligations.decide import obligations, proved
from conntrim.core.plan.obligations.registry import NAMES
from conntrim.core.plan.own import is_own_chain, is_own_table

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
    untracked, limited = with_only(now, {Purpose.UNTRACK}), with_only(now, {Purpose.UNTRACK, Purpose.LIMIT})
    done = replace(done, after=now, untracked=untracked, limited=limited)
    proof = proved(done)
    return tuple(o for o in obligations(done, proof) if o.name in names)


def with_only(now: Ruleset, purposes: Collection[Purpose]) -> Ruleset:
    """The rule set with our own chains of these purposes, and without those of others."""
    return replace(now, tables=tuple(_with_only(table, purposes) for table in now.tables))


def _with_only(table: Table, purposes: Collection[Purpose]) -> Table:
    own = [c.name for c in table.chains if is_own_table(table) or is_own_chain(c)]
    gone = frozenset(name for name in own if purpose_of(name) not in purposes)
    if not gone:
        return table
    chains = tuple(
        replace(
            c, rules=tuple(r for r in c.rules if not any(type(s) is Jump and s.chain in gone for s in r.statements))
        )
        for c in table.chains
        if c.name not in gone
    )
    return replace(table, chains=chains)
