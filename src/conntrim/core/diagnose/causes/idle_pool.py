"""Idle pools: connections to a few servers, kept for later and not used.

What it says:
    Many established connections to a few servers saw no packet for five
    minutes or longer.

Why it matters:
    A pool keeps its connections for hours, and each is an entry all that
    time, used or not. Pools of many programs add up.

What to do:
    Smaller pools, or an idle time-out in them. Untrack the service where
    nothing translates it. Do not shorten the time-out of established
    connections below the pool's own check: it would cut them.

Caveats:
    Dead peers look alike; those belong to ever other addresses (CT011).
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import number
from conntrim.core.model.conntrack import TcpState

CODE, NAME, HABIT = "CT049", "idle-pool", Habit.USUAL

SERVERS, EACH, QUIET = 8, 20, 300
"""Servers at most, connections of a pair of hosts on average, seconds."""


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Quiet connections between few hosts."""
    theirs = free & view.state(TcpState.ESTABLISHED) & view.replied & view.idle_for(QUIET)
    pairs = view.distinct(view.pairs(view.client, view.server), theirs)
    if not theirs.any() or view.distinct(view.server, theirs) > SERVERS or theirs.sum() < EACH * pairs:
        return None
    cures, top = Cures(case, view, theirs), view.top(view.pairs(view.server, view.port), theirs)
    server = f"{view.name(top.value >> 32)} tcp/{top.value & 0xFFFFFFFF}"
    return Claim(
        theirs,
        f"idle pool: connections to {server}",
        (
            f"{view.count(theirs)} connections between {number(pairs)} pairs of hosts, quiet for 5 minutes",
            f"{view.count(theirs & view.idle_for(3_600))} of them for an hour",
        ),
        (),
        (
            cures.repair("a smaller pool, or an idle time-out in it"),
            *cures.untrack(),
            cures.timeout("nf_conntrack_tcp_timeout_established", 7_440),
        ),
        view.owners(theirs, case.facts.owners) or (server,),
    )
