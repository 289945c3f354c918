"""Port scan of this host: one client asks a great many of its ports.

What it says:
    One address has entries to at least fifty ports of this host, or of hosts
    behind it, each asked a few times at most.

Why it matters:
    Each probe that a rule set lets in holds an entry; refused ones do not,
    for a packet that is dropped before the end leaves none.

What to do:
    Drop the address in the raw table, or drop what no service listens to:
    then the probes leave no entries.

Caveats:
    A client that opens data connections to many ports (ftp, RPC, some games)
    looks alike, but it is answered.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import number
from conntrim.core.model.conntrack import TcpState

CODE, NAME, HABIT = "CT031", "port-scan-in", Habit.ODD

MANY, FEW_EACH, PORTS = 50, 4, 0.5


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """What the client with most ports left."""
    probes = free & view.unicast & ~view.outbound & ~view.loopback
    probes &= view.state(TcpState.SYN_SENT, TcpState.SYN_RECV, TcpState.CLOSE) | (view.udp & ~view.replied)
    top = view.top(view.client, probes)
    theirs = probes & (view.client == top.value)
    ports, hosts = view.distinct(view.port, theirs), view.distinct(view.server, theirs)
    if ports < MANY or hosts > FEW_EACH or ports < PORTS * top.entries:
        return None
    name, cures = view.name(top.value), Cures(case, view, theirs)
    return Claim(
        theirs,
        f"port scan by {name} of {number(ports)} ports",
        (f"{view.count(theirs)} entries of {name} to {number(ports)} ports, none of them in use",),
        (),
        (cures.block(top.value), cures.delete(name, "-s", name)),
        (name,),
    )
