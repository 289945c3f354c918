"""Accept queue full: the host lets connections in, no program takes them.

What it says:
    Many inbound entries are in SYN_SENT and no answer was seen, while nothing
    untracks the answers.

Why it matters:
    A SYN that a rule refuses leaves no entry, and one to a closed port is
    answered with a reset. An entry without an answer means that the socket
    listens and drops the SYN: its queue of connections not yet accepted is
    full. Each try of a client holds another entry.

What to do:
    Repair the program: it hangs, or has too few workers. Raise its backlog and
    net.core.somaxconn. `ss -ltn` shows Recv-Q above Send-Q there.

Caveats:
    Answers untracked in raw OUTPUT look alike (CT014): the rules decide. So
    does a SYN flood without SYN cookies, but from ever other addresses.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import number
from conntrim.core.model.conntrack import TcpState

CODE, NAME, HABIT = "CT033", "accept-queue-full", Habit.WRONG


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """SYNs to this host that it let in and did not answer."""
    theirs = free & view.unicast & view.inbound & view.state(TcpState.SYN_SENT) & ~view.replied
    unsure = case.census is not None and case.census.local_doubt
    if unsure or not theirs.any():
        return None
    port = view.top(view.port, theirs).value
    theirs &= view.port == port
    same = view.inbound & view.tcp & (view.port == port)
    stuck = same & view.state(TcpState.ESTABLISHED, TcpState.CLOSE_WAIT, TcpState.SYN_RECV)
    queue = [each for each in case.facts.listeners if each.port == port]
    full = [each for each in queue if each.waiting > each.backlog]
    evidence = [
        f"{view.count(theirs)} SYNs to tcp/{port} were let in and not answered",
        "a refused SYN leaves no entry, a closed port answers: the socket drops them",
    ]
    if stuck.any():
        evidence.append(f"{view.count(stuck)} connections of it wait in ESTABLISHED or CLOSE_WAIT")
    evidence += [f"its queue holds {each.waiting} of {each.backlog}{_who(each.owner)}" for each in full]
    overflows = case.facts.tcp_counters.get("ListenOverflows", 0)
    if overflows:
        evidence.append(f"ListenOverflows {number(overflows)} since boot")
    against = []
    if case.rules is None:
        against.append("answers untracked by a rule in raw OUTPUT would look alike: give the rules too")
    if queue and not full:
        against.append("the queue of its socket has room now")
    cures = Cures(case, view, theirs)
    return Claim(
        theirs,
        f"accept queue full: the program at tcp/{port} does not accept",
        tuple(evidence),
        tuple(against),
        (
            cures.repair("restart or repair the program", f"ss -ltnp sport = :{port}",
                         works_in="at once for new clients"),
            cures.repair("raise its backlog and net.core.somaxconn", "sysctl -w net.core.somaxconn=4096",
                       works_in="when the program listens anew"),
            cures.timeout("nf_conntrack_tcp_timeout_syn_sent", 20),
        ),
        tuple(each.owner for each in queue if each.owner),
    )  # fmt: skip


def _who(owner: str) -> str:
    return f" ({owner})" if owner else ""
