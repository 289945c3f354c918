"""Answered, but not open: entries in SYN_SENT whose answer was seen.

What it says:
    Many TCP entries stay in SYN_SENT although packets came back.

Why it matters:
    Both directions pass here, so nothing is untracked or lost on this side.
    The answer was no SYN/ACK that opens the connection: a port that is closed
    or slow, or a middlebox that answers for it.

What to do:
    Look at the server named: `tcpdump -ni any tcp port PORT` shows its
    answer. A bare acknowledgement is one: the server still has an older
    connection with that port, or a middlebox answers. Old kernels keep
    SYN_SENT after a reset; newer ones delete such entries.

Caveats:
    None of them is a sign of one-sided NOTRACK: that leaves no answer seen.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.model.conntrack import TcpState

CODE, NAME, HABIT = "CT034", "answered-syn", Habit.ODD


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """SYN_SENT with an answer."""
    theirs = free & view.state(TcpState.SYN_SENT, TcpState.SYN_SENT2) & view.replied
    if not theirs.any():
        return None
    cures = Cures(case, view, theirs)
    ports = view.ports_named(theirs)
    return Claim(
        theirs,
        f"answered but not open: {ports} is closed or slow",
        (
            f"{view.count(theirs)} entries in SYN_SENT were answered (none is [UNREPLIED])",
            f"most to {ports} of {view.names(view.server, theirs)}",
        ),
        ("a kernel that keeps SYN_SENT after a reset shows every refused connection so",),
        (
            cures.repair("look what the server answers", f"tcpdump -ni any host {view.names(view.server, theirs, 1)}"),
            cures.timeout("nf_conntrack_tcp_timeout_syn_sent", 20),
        ),
    )
