"""SYN flood: handshakes that nobody ends, from ever other addresses.

What it says:
    Many entries of a service are half-open, and hardly two from one address.

Why it matters:
    The addresses are forged, so the third packet of the handshake never
    comes. Each SYN holds an entry for a minute, and each is a new one.

What to do:
    SYNPROXY in front of the service: it answers without an entry. SYN cookies
    save the socket, not the table. Shorten nf_conntrack_tcp_timeout_syn_recv.

Caveats:
    Answers that get lost on the way to real clients look alike, but those try
    again and hold several entries each. Clients of private networks are taken
    for real ones.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import number, percent
from conntrim.core.model.conntrack import TcpState
from conntrim.core.model.service import Direction

CODE, NAME, HABIT = "CT032", "syn-flood", Habit.WRONG

SPREAD, CLIENTS = 0.5, 50
"""Clients an entry, and clients at least."""


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Half-open entries of the service that has most of them."""
    half = free & view.unicast & ~view.outbound & view.state(TcpState.SYN_RECV, TcpState.SYN_SENT)
    half &= view.state(TcpState.SYN_RECV) | ~view.replied
    server = view.top(view.pairs(view.server, view.port), half)
    theirs = half & (view.pairs(view.server, view.port) == server.value)
    clients = view.distinct(view.client, theirs)
    if clients < max(CLIENTS, SPREAD * server.entries) or view.private(view.client, theirs) > SPREAD:
        return None
    service, cures = view.service(theirs), Cures(case, view, theirs)
    port = server.value & 0xFFFFFFFF
    here = service is not None and service.direction is Direction.INBOUND
    chain = "INPUT" if here else "FORWARD"
    proxy = (
        f"iptables -t raw -I PREROUTING -p tcp --dport {port} --syn -j CT --notrack",
        f"iptables -I {chain} -p tcp --dport {port} -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY"
        " --sack-perm --timestamp --wscale 7 --mss 1460",
        "sysctl -w net.netfilter.nf_conntrack_tcp_loose=0",
    )
    backlog = tuple(
        f"{name} {number(value)} since boot" for name in ("TCPReqQFullDoCookies", "TCPReqQFullDrop")
        if (value := case.facts.tcp_counters.get(name, 0))
    )  # fmt: skip
    return Claim(
        theirs,
        f"SYN flood on tcp/{port}",
        (
            f"{view.count(theirs)} half-open entries from {number(round(clients * view.specimen.weight))} addresses",
            f"that is {percent(clients, server.entries)} as many addresses as entries: real clients try again",
            *backlog,
        ),
        ("answers that get lost on their way to the clients would look alike",),
        (
            cures.repair("SYNPROXY answers without an entry", *proxy, works_in="at once for new entries"),
            cures.timeout("nf_conntrack_tcp_timeout_syn_recv", 10),
            cures.delete(f"tcp/{port} half-open", "-p", "tcp", "--dport", str(port), "--state", "SYN_RECV"),
        ),
    )
