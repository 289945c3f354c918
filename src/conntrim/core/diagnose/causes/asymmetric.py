"""Asymmetric routing: only one direction of forwarded connections passes here.

What it says:
    Forwarded TCP connections are past the handshake and no answer was ever
    seen, or were first seen from the server's side.

Why it matters:
    The other direction takes another way. Rules by state, and translation, do
    not work for such connections; their entries stay for five minutes.

What to do:
    Make both directions pass here, or neither: look at the routes of both
    ends (two routers, policy routing, ECMP). Or leave the networks untracked
    where nothing here needs their state.

Caveats:
    For some minutes after a restart of connection tracking, or a fail-over,
    live connections are picked up in the middle and look alike.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.model.conntrack import TcpState

CODE, NAME, HABIT = "CT035", "asymmetric", Habit.ODD


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Forwarded connections of which one direction was seen."""
    later = view.tcp & ~view.state(TcpState.SYN_SENT, TcpState.SYN_RECV, TcpState.SYN_SENT2)
    theirs = free & view.forwarded & ~view.replied & later & ~view.translated
    if not theirs.any():
        return None
    cures, turned = Cures(case, view, theirs), view.share(view.picked_up, theirs)
    side = "the servers'" if view.share(theirs & view.picked_up, theirs) > 0.5 else "the clients'"
    return Claim(
        theirs,
        f"asymmetric routing: only {side} direction passes here",
        (
            f"{view.count(theirs)} forwarded connections go on and no answer was ever seen",
            f"{view.percent(theirs & view.picked_up, theirs)} were picked up from the server's side",
        ),
        ("a restart of connection tracking looks alike for five minutes",) if turned else (),
        (
            cures.repair("repair the routes: both directions here, or none", "ip route get ADDRESS, at both ends"),
            cures.delete("unanswered connections", "-p", "tcp", "--state", "ESTABLISHED", "-u", "UNREPLIED"),
        ),
    )
