"""Connections that are not closed: one side said good-bye, the other did not.

What it says:
    Many TCP entries are in FIN_WAIT or LAST_ACK.

Why it matters:
    The last packets get lost, often because a firewall drops them as INVALID,
    and each side sends them again and again.

What to do:
    Look for rules that drop FIN or RST packets, here and at the other end.

Caveats:
    A busy host always has some. In CLOSE_WAIT it is a program that does not
    close (CT047).
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.model.conntrack import TcpState

CODE, NAME, HABIT = "CT015", "not-closed", Habit.USUAL


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Entries that wait for a last packet."""
    theirs = free & view.state(TcpState.FIN_WAIT, TcpState.LAST_ACK)
    if not theirs.any():
        return None
    cures = Cures(case, view, theirs)
    return Claim(
        theirs,
        "connections not closed by both sides",
        (f"{view.count(theirs)} wait for a last packet", *view.by_service(theirs, "closed by one side")),
        (),
        (
            cures.repair("look for rules that drop FIN, RST or INVALID packets"),
            cures.timeout("nf_conntrack_tcp_timeout_fin_wait", 60),
            cures.timeout("nf_conntrack_tcp_timeout_last_ack", 15),
        ),
    )
