"""Unanswered traffic: entries of questions to which no answer came.

What it says:
    Many UDP, ICMP or other entries without a reply.

Why it matters:
    The server asked is down, a firewall on the way drops the answer, or this
    host is being scanned or used to reflect.

What to do:
    Inbound: drop it before connection tracking (raw table) if nobody should
    ask. Outbound: repair the server that is asked. Syslog, metrics and other
    one-way senders never get an answer: untrack them.

Caveats:
    An answer that is on its way makes an entry unanswered for a moment: a few
    of them are normal.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import many

CODE, NAME, HABIT = "CT012", "unanswered", Habit.ODD


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Everything but TCP that saw no answer."""
    theirs = free & view.unicast & ~view.tcp & ~view.replied
    if not theirs.any():
        return None
    cures = Cures(case, view, theirs)
    clients, servers, ports = (view.distinct(v, theirs) for v in (view.client, view.server, view.port))
    return Claim(
        theirs,
        "questions without an answer",
        (
            f"{view.count(theirs)} unanswered, of {many(clients, 'client')} at {many(servers, 'address')}"
            f" and {many(ports, 'port')}",
            *view.by_service(theirs, "unanswered"),
            f"most of {view.names(view.client, theirs)}",
        ),
        (),
        (
            cures.repair("repair the server that is asked, or stop asking"),
            *cures.untrack(),
            cures.timeout("nf_conntrack_udp_timeout", 10),
        ),
        tuple(view.name(top.value) for top in view.tops(view.client, theirs, 3)),
    )
