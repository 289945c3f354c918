"""Half-open connections: a SYN was seen and the handshake never ended.

What it says:
    Many TCP entries are in SYN_SENT or SYN_RECV.

Why it matters:
    Inbound it is a SYN flood, or a service that does not keep up. Outbound the
    server does not answer: it is down, or a firewall drops silently.

What to do:
    Against a flood: SYN cookies and SYNPROXY, or limits before connection
    tracking. Outbound: mend or take out the server that does not answer.

Caveats:
    Many peers with one entry each speak for a flood with forged addresses.
    Inbound SYN_SENT is something else: the host answered and its answer was
    not seen, see CT014.
"""

from __future__ import annotations

from conntrim.core.diagnose.pattern import Pattern, in_states
from conntrim.core.model.census import ServiceCount
from conntrim.core.model.service import Direction

CODE, NAME = "CT013", "half-open"

_INBOUND = in_states("tcp syn_recv")
_ANY = in_states("tcp syn_sent", "tcp syn_recv", "tcp syn_sent2")


def _half_open(service: ServiceCount) -> int:
    return _INBOUND(service) if service.service.direction is Direction.INBOUND else _ANY(service)


PATTERN = Pattern(
    CODE,
    "half-open connections",
    _half_open,
    "half-open",
    ("inbound: SYN cookies, SYNPROXY", "outbound: mend the server that does not answer"),
)

check = PATTERN.check
