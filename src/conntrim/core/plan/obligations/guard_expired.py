"""With the guard expired the rules admit, untrack and translate what they did before.

How it is decided:
    By the trial's operations: each adds, and carries its dialect's guard
    outside of conntrim's own chains. And by sets: with the guards false the
    trial must treat every packet as the rules before it do, in every ct state.

Broken means:
    A trial that does not undo itself.

What to do:
    Take out an earlier plan's rules first (`conntrim rollback`). Kernels of
    the ip_conntrack era have no guard; their plans are for reading.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.change.guard import NFT_GUARD, XT_GUARD, lasting
from conntrim.core.model.facts import Era
from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.obligations.spec import BROKEN, Judgement, Spec
from conntrim.core.prove.expired import expired

NAME = "guard-expired"
GUARDS = XT_GUARD, NFT_GUARD


def by_plan(c: Compiled) -> Iterator[Judgement]:
    """Operations that are not guarded, and packets that a trial without its guard would treat otherwise."""
    if c.facts.era is Era.IP and c.texts.trial:
        why = "kernels of the ip_conntrack era have no match on the date: nothing expires by itself"
        yield BROKEN, why, ""
        return
    for table, operation in lasting(c.operations.trial):
        yield BROKEN, "an operation of the trial is neither guarded nor in a chain of ours", f"{table}: {operation}"
    by_sets = expired(c.before, c.trial, GUARDS, c.facts.local, tick=c.tick, listed=c.listed)
    yield by_sets.standing, by_sets.why, by_sets.witness


SPEC = Spec(
    NAME, "each operation of the trial adds and is guarded; with the guard false every packet is treated as before",
    by_plan=by_plan,
)  # fmt: skip
