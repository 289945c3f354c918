"""CLOSE_WAIT leak: the other side closed, and some program does not.

What it says:
    Many TCP entries are in CLOSE_WAIT.

Why it matters:
    A program that forgets to close its sockets runs out of them as well. How
    long the entry stays is nf_conntrack_tcp_timeout_close_wait: 60 seconds,
    but an hour where kube-proxy sets it.

What to do:
    Repair the program: `ss -tnp state close-wait` names it. Put the time-out
    back to 60 (kube-proxy: `conntrack.tcpCloseWaitTimeout`).

Caveats:
    The entry shows that its server (or client) did not close; on which host
    the program runs the direction tells.
"""

from __future__ import annotations

from conntrim.core.capacity.timeouts import DEFAULTS
from conntrim.core.census.membership import Mask
from conntrim.core.census.timeouts import USUAL
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import number
from conntrim.core.model.conntrack import TcpState

CODE, NAME, HABIT = "CT047", "close-wait", Habit.ODD

KEY, KUBE_PROXY = "nf_conntrack_tcp_timeout_close_wait", 3_600


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Entries in CLOSE_WAIT."""
    theirs = free & view.state(TcpState.CLOSE_WAIT)
    if not theirs.any():
        return None
    cures, present = Cures(case, view, theirs), case.facts.timeouts.get(KEY)
    evidence = [
        f"{view.count(theirs)} connections were closed by one side only, most to {view.ports_named(theirs)}",
    ]
    if present is not None and present > DEFAULTS[KEY]:
        by = ", as kube-proxy sets it" if present == KUBE_PROXY else ""
        evidence.append(f"this host keeps CLOSE_WAIT for {number(present)} s{by} (default {DEFAULTS[KEY]})")
    long = present is not None and present > DEFAULTS[KEY]
    least = "" if present in USUAL else "at least "
    fixes = (cures.timeout(KEY, DEFAULTS[KEY]),) if long else ()
    return Claim(
        theirs,
        f"connections left in CLOSE_WAIT{f' for {least}{number(present)} s' if long and present else ''}",
        tuple(evidence),
        (),
        (
            *fixes,
            cures.repair("repair the program that does not close", "ss -tnp state close-wait"),
            cures.delete("closed connections", "-p", "tcp", "--state", "CLOSE_WAIT"),
        ),
        view.owners(theirs, case.facts.owners),
    )
