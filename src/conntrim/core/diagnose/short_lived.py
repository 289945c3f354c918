"""Short-lived connections: most entries are of connections that have ended.

What it says:
    Many entries are in TIME_WAIT: the connection is over, its entry stays for
    two minutes.

Why it matters:
    The table holds the number of connections a second times the two minutes,
    however short each was: 1,092 new ones a second keep 131,072 entries, for
    ever.

What to do:
    Keep connections open (HTTP keep-alive, a pool to the database or cache);
    untrack the service; shorten nf_conntrack_tcp_timeout_time_wait to 30.

Caveats:
    nf_conntrack_tcp_timeout_established has no part in it. The kernel's socket
    settings (tcp_tw_reuse, tcp_fin_timeout) do not touch these entries either.
"""

from __future__ import annotations

from conntrim.core.diagnose.pattern import Pattern, in_states

CODE, NAME = "CT010", "short-lived"

PATTERN = Pattern(
    CODE,
    "short-lived connections",
    in_states("tcp time_wait"),
    "in time_wait",
    ("keep connections open", "untrack the service", "shorten nf_conntrack_tcp_timeout_time_wait"),
)

check = PATTERN.check
