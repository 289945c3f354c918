"""Half-open connections: a SYN was seen and the handshake never ended.

What it says:
    Many TCP entries of what goes out or passes through are in SYN_SENT
    without an answer, or in SYN_RECV.

Why it matters:
    The server does not answer: it is down, or a firewall on the way drops in
    silence, or the answer takes another way back. Each try is an entry for
    two minutes.

What to do:
    Repair or take out the server named. Refuse instead of dropping, at the
    firewall on the way: a reset ends the entry.

Caveats:
    From ever other addresses it is a flood (CT032), to ever other ones a scan
    (CT030), and of this host itself a full accept queue (CT033).
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.model.conntrack import TcpState

CODE, NAME, HABIT = "CT013", "half-open", Habit.ODD


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Half-open entries."""
    half = view.state(TcpState.SYN_SENT, TcpState.SYN_SENT2) & ~view.replied
    theirs = free & (half | view.state(TcpState.SYN_RECV))
    if not theirs.any():
        return None
    cures, server = Cures(case, view, theirs), view.top(view.pairs(view.server, view.port), theirs)
    name = f"{view.name(server.value >> 32)} tcp/{server.value & 0xFFFFFFFF}"
    one = server.entries >= theirs.sum() / 2
    passing = view.share(theirs & view.forwarded, theirs) > 0.5
    against = ["the answers may take another way back (asymmetric routing)"] if passing else []
    return Claim(
        theirs,
        f"half-open connections: {name} does not answer" if one else "half-open connections",
        (
            f"{view.count(theirs)} half-open, {view.count(theirs & half)} of them without any answer",
            f"most to {name}, of {view.names(view.client, theirs)}",
        ),
        tuple(against),
        (
            cures.repair(f"repair {name}, or the firewall on the way to it"),
            cures.timeout("nf_conntrack_tcp_timeout_syn_sent", 20),
            cures.delete("half-open connections", "-p", "tcp", "--state", "SYN_SENT"),
        ),
        view.owners(theirs, case.facts.owners) or (view.name(server.value >> 32),),
    )
