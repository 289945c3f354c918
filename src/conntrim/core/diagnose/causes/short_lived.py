"""Short-lived connections: most entries are of connections that have ended.

What it says:
    Many entries are in TIME_WAIT: the connection is over, its entry stays for
    two minutes.

Why it matters:
    The table holds the number of connections a second times the two minutes,
    however short each was: 1,092 new ones a second keep 131,072 entries, for
    ever.

What to do:
    Keep connections open (HTTP keep-alive, a pool to the database or cache);
    untrack the service, or where translation forbids that shorten the
    time-out of that service alone; shorten
    nf_conntrack_tcp_timeout_time_wait to 30.

Caveats:
    nf_conntrack_tcp_timeout_established has no part in it. The kernel's
    socket settings (tcp_tw_reuse, tcp_fin_timeout) do not touch these entries
    either. A connection in TIME_WAIT has no owner any more, so who opened
    outbound ones cannot be told from them.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.model.conntrack import TcpState
from conntrim.core.model.finding import Remedy
from conntrim.core.model.protocol import Protocol

CODE, NAME, HABIT = "CT010", "short-lived", Habit.USUAL


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Entries of ended connections."""
    theirs = free & view.state(TcpState.TIME_WAIT, TcpState.CLOSE)
    if not theirs.any():
        return None
    cures = Cures(case, view, theirs)
    untracked = cures.untrack()
    return Claim(
        theirs,
        "short-lived connections",
        (
            f"{view.count(theirs)} entries of connections that have ended",
            *view.by_service(theirs, "in time_wait"),
        ),
        ("who opened the outbound ones cannot be told: TIME_WAIT has no owner",)
        if (theirs & view.outbound).any() and case.facts.owners
        else (),
        (
            *untracked,
            *(() if untracked else _alone(view, theirs, cures)),
            cures.keep_alive(),
            cures.timeout("nf_conntrack_tcp_timeout_time_wait", 30),
        ),
        view.owners(theirs, case.facts.owners),
    )


def _alone(view: View, theirs: Mask, cures: Cures) -> tuple[Remedy, ...]:
    """A time-out for the commonest service, which translation does not forbid as it does untracking."""
    tcp = theirs & view.state(TcpState.TIME_WAIT)
    return (cures.service_timeout(Protocol.TCP, view.top(view.port, tcp).value, 30, "time_wait"),) if tcp.any() else ()
