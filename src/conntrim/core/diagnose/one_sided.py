"""One-sided NOTRACK: only one direction of a service is untracked.

What it says:
    Many entries were picked up in the middle of a connection, from the
    server's side; or inbound ones stay in SYN_SENT because the answer was
    never seen.

Why it matters:
    The table fills as before, the states are wrong, and rules that drop
    INVALID break the connection.

What to do:
    Untrack both directions on both hooks: the request in PREROUTING and the
    answer in OUTPUT for an inbound service, the other way round for an
    outbound one, both in both for loopback. `conntrim plan` writes them
    together.

Caveats:
    Connections older than the rules, a restart of connection tracking and
    asymmetric routing look the same for a while.
"""

from __future__ import annotations

from conntrim.core.diagnose.pattern import Pattern, in_states
from conntrim.core.model.census import ServiceCount
from conntrim.core.model.service import Direction

CODE, NAME = "CT014", "one-sided"

_SYN_SENT = in_states("tcp syn_sent")


def _one_sided(service: ServiceCount) -> int:
    unseen = _SYN_SENT(service) if service.service.direction is Direction.INBOUND else 0
    return min(service.entries, service.picked_up + unseen)


PATTERN = Pattern(
    CODE,
    "one-sided NOTRACK",
    _one_sided,
    "with one direction seen",
    ("untrack both directions, in PREROUTING and in OUTPUT", "conntrim plan writes both"),
    always=True,
)

check = PATTERN.check
