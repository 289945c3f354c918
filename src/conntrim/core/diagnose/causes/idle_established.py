"""Idle connections: established ones that nobody has used for an hour.

What it says:
    Many TCP entries are ESTABLISHED and saw no packet for an hour or longer.

Why it matters:
    They stay for five days. Most often one end is gone without a word: a
    phone that lost its network, a server that was switched off, a middlebox
    that forgot.

What to do:
    TCP keep-alive in the application, so that live connections prove that
    they live; then shorten nf_conntrack_tcp_timeout_established to a little
    more than two hours.

Caveats:
    A connection whose entry times out is picked up again by its next packet
    where the rule set allows it, and breaks where it does not, or where it
    needs NAT. Shorten only below what your applications' keep-alive allows.
    How long an entry of a saved table is idle follows from the seconds left
    only as far as the time-out is known: give `sysctl -a` too.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.model.conntrack import TcpState

CODE, NAME, HABIT = "CT011", "idle-established", Habit.USUAL

IDLE = 3_600
"""Seconds without a packet; an edge of the census's idle classes."""


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Established entries that are idle for certain."""
    theirs = free & view.state(TcpState.ESTABLISHED) & view.idle_for(IDLE)
    if not theirs.any():
        return None
    cures, waiting = Cures(case, view, theirs), view.state(TcpState.ESTABLISHED) & view.unacknowledged
    return Claim(
        theirs,
        "idle connections",
        (
            f"{view.count(theirs)} connections without a packet for an hour",
            *view.by_service(theirs, "idle"),
            *((f"{view.count(waiting)} others wait for an acknowledgement",) if waiting.any() else ()),
        ),
        (),
        (
            cures.repair("TCP keep-alive in the application"),
            cures.timeout("nf_conntrack_tcp_timeout_established", 7_440),
        ),
        view.owners(theirs, case.facts.owners),
    )
