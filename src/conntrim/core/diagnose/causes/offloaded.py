"""Offloaded flows: forwarded past the rules by a flow table.

What it says:
    Entries carry [OFFLOAD] or [HW_OFFLOAD]: a flow table forwards them.

Why it matters:
    Their time-outs do not run while they are there; idle and state do not
    tell anything of them. They count against nf_conntrack_max all the same.

What to do:
    Enlarge the table; or offload only what lasts (`ct bytes` in front of
    `flow add`).

Caveats:
    Deleting such an entry sends its connection back through the rules.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View

CODE, NAME, HABIT = "CT052", "offloaded", Habit.USUAL


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Offloaded entries."""
    theirs = free & view.offloaded
    if not theirs.any():
        return None
    cures = Cures(case, view, theirs)
    return Claim(
        theirs,
        "flows offloaded to a flow table",
        (
            f"{view.count(theirs)} entries are offloaded, {view.percent(theirs)} of the table",
            f"most to {view.ports_named(theirs)}",
        ),
        (),
        (cures.repair("offload only what lasts: `ct bytes` in front of `flow add`", works_in="for new flows"),),
    )
