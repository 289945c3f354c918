"""Overlay network: its tunnels are tracked packet stream by packet stream.

What it says:
    Many entries of VXLAN (4789, 8472) or Geneve (6081).

Why it matters:
    The sender varies the source port for each inner connection, so that each
    is an entry of the outer network as well, and none is ever answered: the
    way back has a port of its own.

What to do:
    Untrack those ports: every packet of them goes to that port, so there is
    no second direction to think of. What is inside is tracked by itself.

Caveats:
    Rules that accept by state must accept the port itself.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import number

CODE, NAME, HABIT = "CT043", "overlay", Habit.USUAL

TUNNELS = {4789: "VXLAN", 8472: "VXLAN (flannel, Cilium)", 6081: "Geneve"}


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Entries of tunnels."""
    ports = [port for port in TUNNELS if (free & view.udp & (view.port == port)).any()]
    theirs = free & view.udp & view.ports_in(ports) & view.unicast
    if not theirs.any():
        return None
    cures, port = Cures(case, view, theirs), view.top(view.port, theirs).value
    how = tuple(
        f"iptables -t raw -I {chain} -p udp --dport {port} -j CT --notrack" for chain in ("PREROUTING", "OUTPUT")
    )
    peers = view.distinct(view.pairs(view.client, view.server), theirs)
    return Claim(
        theirs,
        f"overlay network, {TUNNELS[port]} udp/{port}",
        (
            f"{view.count(theirs)} entries between {number(peers)} pairs of hosts",
            f"{view.percent(theirs & ~view.replied, theirs)} unanswered: each inner connection has a port",
        ),
        (),
        (
            cures.repair(f"untrack udp/{port} to that port, both ways", *how, works_in="at once for new entries"),
            cures.service_timeout(17, port, 10),
            cures.timeout("nf_conntrack_udp_timeout", 10),
        ),
        unanswered=True,
    )
