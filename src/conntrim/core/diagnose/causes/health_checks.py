"""Health checks: a few checkers open and drop connections to everything.

What it says:
    Most ended connections are of a few clients, to many addresses or ports
    alike, or are reset right after the handshake.

Why it matters:
    A load balancer, a service mesh or monitoring asks each back end every
    second or so; each check is an entry for ten seconds to two minutes.

What to do:
    Check less often, or over a connection that is kept. Untrack the checked
    port where nothing is translated.

Caveats:
    A proxy with many connections of its own looks alike, but it talks to few
    ports, and closes in order.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import number
from conntrim.core.model.conntrack import TcpState

CODE, NAME, HABIT = "CT045", "health-checks", Habit.USUAL

CHECKERS, TARGETS, EVEN = 4, 8, 3.0
"""Clients at most, targets at least, and the most entries of a target in means of all."""


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Resets of a few clients, or connections spread evenly over many targets."""
    ended = free & view.unicast & view.replied & view.state(TcpState.TIME_WAIT, TcpState.CLOSE)
    tops = view.tops(view.client, ended, CHECKERS)
    if not tops or sum(top.entries for top in tops) < 0.8 * ended.sum():
        return None
    theirs = ended & view.clients_in([top.value for top in tops])
    reset = theirs & view.state(TcpState.CLOSE)
    target = view.pairs(view.server, view.port)
    targets, most = view.distinct(target, theirs), view.top(target, theirs).entries
    even = targets >= TARGETS and most * targets <= EVEN * theirs.sum()
    if not even and view.share(reset, theirs) < 0.5:
        return None
    cures = Cures(case, view, theirs)
    return Claim(
        theirs,
        f"health checks by {view.names(view.client, theirs, 2)}",
        (
            f"{view.count(theirs)} ended connections of {len(tops)} clients to {number(targets)} targets",
            f"{view.percent(reset, theirs)} were reset, as checkers do",
        ),
        ("a proxy with many short connections looks alike where nothing is reset",) if not reset.any() else (),
        (
            cures.repair("check less often, or over a connection that is kept"),
            *cures.untrack(),
            cures.timeout("nf_conntrack_tcp_timeout_time_wait", 30),
        ),
        tuple(view.name(top.value) for top in tops),
    )
