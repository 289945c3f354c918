"""Port scan from here: one host asks ever other addresses or ports in vain.

What it says:
    One client, this host or one behind it, has unanswered or refused entries
    to at least fifty different addresses or ports.

Why it matters:
    That is what an infected machine does, or somebody's scanner. Each probe
    holds an entry for up to two minutes, and the addresses asked complain.

What to do:
    Take the client off the network, or refuse it in front of tracking; then
    find the program. On this host `ss -tpn state syn-sent` names it.

Caveats:
    A monitoring system that looks for hosts does the same on purpose. A
    crawler or a mail server has many unanswered connections too, but more
    answered.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import many
from conntrim.core.model.conntrack import TcpState

CODE, NAME, HABIT = "CT030", "port-scan-out", Habit.WRONG

MANY, PROBES, PORTS, FEW = 50, 0.6, 5, 4
"""Targets; the least share of a client's TCP entries that are probes; the most ports of a scan across hosts; tries of
one target that are nothing unusual, where two in `MANY` of all are not more.
"""


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """The probes of the client that has most of them."""
    probes = free & view.unicast & ~view.inbound & ~view.loopback
    tcp = probes & ((view.state(TcpState.SYN_SENT) & ~view.replied) | (view.state(TcpState.CLOSE)))
    udp = probes & view.udp & ~view.replied
    for mask, others in ((tcp, view.tcp), (udp, view.udp)):
        top = view.top(view.client, mask)
        if top.entries < MANY:
            continue
        theirs = mask & (view.client == top.value)
        hosts, ports = view.distinct(view.server, theirs), view.distinct(view.port, theirs)
        even = max(FEW, top.entries / MANY * 2)
        across = hosts >= MANY and ports <= PORTS and view.top(view.server, theirs).entries <= even
        down = ports >= MANY and hosts <= PORTS and view.top(view.port, theirs).entries <= even
        whole = view.share(theirs, others & (view.client == top.value))
        if whole < PROBES or not (across or down):
            continue
        return _claim(
            Cures(case, view, theirs), view, theirs, top.value, f"{many(hosts, 'address')}, {many(ports, 'port')}"
        )
    return None


def _claim(cures: Cures, view: View, theirs: Mask, client: int, targets: str) -> Claim:
    name, here = view.name(client), bool(view.outbound[theirs].any())
    against = ("a monitoring system that looks for hosts does the same on purpose",)
    how = cures.repair("find the program", "ss -tpn state syn-sent") if here else cures.block(client)
    return Claim(
        theirs,
        f"port scan from {name} to {targets}",
        (
            f"{view.count(theirs)} probes of {name} without an answer, to {targets}",
            f"of its other entries hardly any: {view.percent(theirs, view.client == client)} are probes",
            f"most to {view.ports_named(theirs)}",
        ),
        against,
        (how, cures.delete(name, "-s", name), cures.repair(f"find what runs on {name}" if not here else "end it")),
        (name,),
    )
