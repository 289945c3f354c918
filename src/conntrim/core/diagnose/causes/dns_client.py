"""DNS storm, client: programs ask a few resolvers again and again.

What it says:
    Many entries of port 53 go to a few resolvers, from this host or through
    it.

Why it matters:
    Every look-up is a port of its own, so an entry of its own for thirty
    seconds, for one packet each way. Programs without a cache look up a name
    for each request.

What to do:
    A cache on the host (nscd, systemd-resolved, dnsmasq, unbound) asks once.
    Untrack port 53 outbound where nothing translates it, else shorten
    nf_conntrack_udp_timeout or give DNS its own time-out.

Caveats:
    Who asks shows only while its socket is open: a UDP entry has no owner.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import number

CODE, NAME, HABIT = "CT041", "dns-client", Habit.USUAL

SERVERS = 20
"""More than so many are a resolver's own, or a scan."""


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Questions that go out or pass through to a few servers."""
    theirs = free & view.unicast & view.udp & (view.port == 53) & ~view.inbound
    servers = view.distinct(view.server, theirs)
    if not theirs.any() or servers > SERVERS:
        return None
    cures, clients = Cures(case, view, theirs), view.distinct(view.client, theirs)
    here = view.share(theirs & view.outbound, theirs) > 0.5
    who = view.name(view.top(view.client, theirs).value)
    return Claim(
        theirs,
        f"DNS storm: look-ups of {'this host' if here else number(clients) + ' clients'}",
        (
            f"{view.count(theirs)} look-ups at {number(servers)} servers, {view.names(view.server, theirs)}",
            f"most of {who}, {view.percent(theirs & ~view.replied, theirs)} unanswered",
        ),
        (),
        (
            cures.repair("a cache on this host, which asks once" if here else "a resolver here, which asks once"),
            *cures.untrack(),
            cures.service_timeout(17, 53, 5),
            cures.timeout("nf_conntrack_udp_timeout", 10),
        ),
        (who,),
    )
