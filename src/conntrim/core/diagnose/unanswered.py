"""Unanswered traffic: entries of questions to which no answer came.

What it says:
    Many UDP, ICMP or other entries without a reply.

Why it matters:
    The server asked is down, a firewall on the way drops the answer, or this
    host is being scanned or used to reflect.

What to do:
    Inbound: drop it before connection tracking (raw table) if nobody should
    ask. Outbound: mend the server that is asked. Syslog, metrics and other
    one-way senders never get an answer: untrack them.

Caveats:
    An answer that is on its way makes an entry unanswered for a moment: a few
    of them are normal.
"""

from __future__ import annotations

from conntrim.core.diagnose.pattern import Pattern
from conntrim.core.model.census import ServiceCount
from conntrim.core.model.protocol import Protocol

CODE, NAME = "CT012", "unanswered"


def _unanswered(service: ServiceCount) -> int:
    return 0 if service.service.protocol == Protocol.TCP else service.unreplied


PATTERN = Pattern(
    CODE,
    "questions without an answer",
    _unanswered,
    "unanswered",
    ("mend the server that is asked", "untrack one-way senders", "drop unwanted questions in raw PREROUTING"),
)

check = PATTERN.check
