"""DNS storm, resolver: this host answers names and asks others for them.

What it says:
    Entries of port 53 come in and go out: a resolver's.

Why it matters:
    Each question of a client, and each that it causes, is an entry for thirty
    seconds or more. A storm of names that do not exist asks ever more
    servers.

What to do:
    Untrack the clients' side (inbound port 53) and the resolver's own
    questions. Where translation is at work shorten nf_conntrack_udp_timeout.

Caveats:
    Unanswered outbound questions point to dead name servers of a few domains,
    or to a firewall in front.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import percent

CODE, NAME, HABIT = "CT040", "dns-resolver", Habit.USUAL

SERVERS, PART = 20, 0.02
"""Servers that a resolver asks at least, and its least share of inbound questions."""


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Questions that come in and go out."""
    dns = free & view.unicast & (view.udp | view.tcp) & (view.port == 53)
    asked, asks = dns & view.inbound, dns & view.outbound
    if view.share(asked, dns) < PART or view.distinct(view.server, asks) < SERVERS:
        return None
    theirs, cures = asked | asks, Cures(case, view, dns & (view.inbound | view.outbound))
    unanswered = view.share(asks & ~view.replied, asks)
    return Claim(
        theirs,
        "DNS storm: this host resolves names",
        (
            f"{view.count(asked)} questions of {view.different(view.client, asked)} clients",
            f"{view.count(asks)} questions of its own to {view.different(view.server, asks)} servers,"
            f" {percent(unanswered, 1)} unanswered",
            f"most from {view.names(view.client, asked)}",
        ),
        (),
        (
            *cures.untrack(),
            cures.service_timeout(17, 53, 5),
            cures.timeout("nf_conntrack_udp_timeout", 10),
        ),
    )
