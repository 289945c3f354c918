"""Broadcast and multicast noise: what neighbours announce to everybody.

What it says:
    Many entries are addressed to a group or a broadcast address.

Why it matters:
    Nobody answers to such an address, so each announcement of each neighbour
    holds an entry for thirty seconds.

What to do:
    Drop in raw PREROUTING what no program here wants, or untrack it there by
    destination type. A plan's rules for a service do not match it: they are
    for the host's own addresses.

Caveats:
    DHCP, mDNS and routing protocols live on such packets: name the ports that
    are noise.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View

CODE, NAME, HABIT = "CT044", "group-noise", Habit.ODD


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Whatever is not for one host."""
    theirs = free & ~view.unicast
    if not theirs.any():
        return None
    cures, port = Cures(case, view, theirs), view.top(view.port, theirs).value
    drop = f"iptables -t raw -I PREROUTING -p udp --dport {port} -m addrtype ! --dst-type UNICAST -j DROP"
    notrack = "iptables -t raw -I PREROUTING -m addrtype --dst-type BROADCAST -j CT --notrack"
    return Claim(
        theirs,
        f"broadcast and multicast noise, {view.ports_named(theirs, 1)}",
        (
            f"{view.count(theirs)} entries to groups, of {view.different(view.client, theirs)} neighbours",
            f"most to {view.ports_named(theirs)} of {view.names(view.server, theirs, 2)}",
        ),
        (),
        (
            cures.repair(f"drop udp/{port} to groups before tracking", drop, works_in="at once for new entries"),
            cures.repair("untrack broadcasts by destination type", notrack, works_in="at once for new entries"),
            cures.timeout("nf_conntrack_udp_timeout", 10),
        ),
        tuple(view.name(top.value) for top in view.tops(view.client, theirs, 3)),
    )
