"""Connections that are not closed: one side said good-bye, the other did not.

What it says:
    Many TCP entries are in FIN_WAIT, CLOSE_WAIT or LAST_ACK.

Why it matters:
    In CLOSE_WAIT an application forgets to close its sockets, which will run
    out as well. The others are last packets that get lost, often dropped by a
    firewall as INVALID.

What to do:
    Mend the application: `ss -tp state close-wait` names it. Look for rules
    that drop FIN or RST packets.

Caveats:
    Each stays for a minute or two at most; a busy host always has some.
"""

from __future__ import annotations

from conntrim.core.diagnose.pattern import Pattern, in_states

CODE, NAME = "CT015", "not-closed"

PATTERN = Pattern(
    CODE,
    "connections not closed by both sides",
    in_states("tcp fin_wait", "tcp close_wait", "tcp last_ack"),
    "closed by one side",
    ("ss -tp state close-wait names the application",),
)

check = PATTERN.check
