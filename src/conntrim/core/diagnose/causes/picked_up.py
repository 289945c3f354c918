"""Picked up in the middle: connections older than their entries.

What it says:
    Connections of this host are past the handshake, but tracking saw them
    first in the middle: no answer seen yet, or the server's packet first.

Why it matters:
    Tracking started, was flushed or a NOTRACK rule was removed while they
    lived, and nf_conntrack_tcp_loose let them in. Those without an answer
    stay five minutes. If it goes on, one direction is untracked (CT014).

What to do:
    Wait ten minutes and look again. If the number stays, look for a NOTRACK
    rule without its counterpart: `conntrim check`.

Caveats:
    Without the rule set nothing tells apart a restart from one-sided NOTRACK.
    On the running kernel an entry itself shows that it was picked up: it is
    be-liberal and has no window scale. One that has long been answered is
    in use as any other, and is no cause.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.model.conntrack import TcpState

CODE, NAME, HABIT = "CT036", "picked-up", Habit.ODD


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """What was picked up."""
    later = view.tcp & ~view.state(TcpState.SYN_SENT, TcpState.SYN_RECV, TcpState.SYN_SENT2)
    theirs = free & ((later & ~view.replied) | view.picked_up)
    if not theirs.any():
        return None
    turned, cures = theirs & view.picked_up, Cures(case, view, theirs)
    against = ["one-sided NOTRACK leaves the same entries: the rules decide"] if case.rules is None else []
    known = case.census is not None and case.census.flagged
    return Claim(
        theirs,
        "connections picked up in the middle",
        (
            f"{view.count(theirs)} connections are older than their entries",
            *((f"the kernel noted it of {view.count(theirs & view.seen_midway)} (be-liberal)",) if known else ()),
            f"{view.count(turned)} of them were first seen from the server's side",
        ),
        tuple(against),
        (
            cures.repair("wait ten minutes, then look again", works_in="ten minutes"),
            cures.repair("look for a NOTRACK rule without its counterpart", "conntrim check"),
        ),
    )
