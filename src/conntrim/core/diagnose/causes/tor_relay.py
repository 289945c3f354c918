"""Tor relay: long connections with thousands of other relays.

What it says:
    Connections to the relay port come in and go out, with many hosts.

Why it matters:
    A relay keeps a connection to each of the several thousand others, and an
    exit opens one for each page: the entries are long-lived and in use.

What to do:
    Untrack the relay's own port in both directions, or enlarge the table:
    nothing here is superfluous.

Caveats:
    Relays on port 443 cannot be told from a web server.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View

CODE, NAME, HABIT = "CT046", "tor-relay", Habit.USUAL

PORTS, PEERS = (9001, 9030), 50


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Both directions of the relay ports."""
    theirs = free & view.tcp & view.unicast & view.ports_in(PORTS)
    came, went = theirs & view.inbound, theirs & view.outbound
    if not came.any() or view.distinct(view.server, went) < PEERS:
        return None
    cures = Cures(case, view, theirs)
    return Claim(
        theirs,
        "Tor relay",
        (
            f"{view.count(came)} connections come in from {view.different(view.client, came)} hosts",
            f"{view.count(went)} go out to {view.different(view.server, went)}",
        ),
        (),
        (*cures.untrack(), cures.repair("enlarge the table: the connections are in use")),
    )
