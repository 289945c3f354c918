"""Public time server: everybody asks, each once in a while.

What it says:
    Many inbound udp/123 entries, from ever other addresses.

Why it matters:
    A server of the NTP pool answers thousands of clients a second. Each
    question is an entry for thirty seconds, for one packet each way.

What to do:
    Untrack udp/123 in both directions: an answer needs no state.

Caveats:
    Few addresses with many entries each are something else: forged questions
    (CT039).
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import number

CODE, NAME, HABIT = "CT038", "ntp-server", Habit.USUAL

CLIENTS, SPREAD = 100, 0.3


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Inbound questions for the time."""
    theirs = free & view.unicast & view.udp & ~view.outbound & (view.port == 123)
    clients = view.distinct(view.client, theirs)
    if clients < CLIENTS or clients < SPREAD * theirs.sum():
        return None
    cures = Cures(case, view, theirs)
    return Claim(
        theirs,
        "public time server (NTP)",
        (f"{view.count(theirs)} questions for the time from {number(clients)} addresses or more",),
        (),
        (
            *cures.untrack(),
            cures.service_timeout(17, 123, 5),
            cures.timeout("nf_conntrack_udp_timeout", 10),
        ),
    )
