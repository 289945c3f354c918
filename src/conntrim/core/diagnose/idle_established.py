"""Idle connections: established ones that nobody has used for an hour.

What it says:
    Many TCP entries are ESTABLISHED and saw no packet for an hour or longer.

Why it matters:
    They stay for five days. Most often one end is gone without a word: a phone
    that lost its network, a server that was switched off, a middlebox that
    forgot.

What to do:
    TCP keep-alive in the application, so that live connections prove that they
    live; then shorten nf_conntrack_tcp_timeout_established to a little more
    than two hours.

Caveats:
    A connection whose entry times out is picked up again by its next packet
    where the rule set allows it, and breaks where it does not, or where it
    needs NAT. Shorten only below what your applications' keep-alive allows.
"""

from __future__ import annotations

from conntrim.core.diagnose.pattern import Pattern, idle_for
from conntrim.core.model.census import ServiceCount

CODE, NAME = "CT011", "idle-established"

IDLE = 3_600
"""Seconds without a packet; an edge of the census's idle classes."""


def _idle(service: ServiceCount) -> int:
    return sum(idle_for(state, IDLE) for state in service.states if state.state == "tcp established")


PATTERN = Pattern(
    CODE,
    "idle connections",
    _idle,
    "idle",
    ("TCP keep-alive in the application", "shorten nf_conntrack_tcp_timeout_established"),
)

check = PATTERN.check
