"""ICMP errors about connections that a NOTRACK rule takes are lost.

What it says:
    Played packet by packet, these connections complete; an error about one
    of their packets (too big, port unreachable) came through while they were
    tracked, and does not now.

Why it matters:
    Without "too big" large transfers hang, without "unreachable" clients
    wait for a time-out.

What to do:
    Accept the ICMP types 3, 11 and 12 (ICMPv6: 1 to 4) before what refuses
    them; or leave these connections tracked, and errors as well where a
    NOTRACK rule takes ICMP.

Caveats:
    Told where CT106 does not tell it already: of connections of this host to
    itself, and where a NOTRACK rule takes the errors as well.
"""

from __future__ import annotations

from conntrim.core.model.finding import Severity
from conntrim.core.prove.scripts import Harm

CODE, NAME = "CT119", "errors-lost"
HARM, SEVERITY = Harm.NO_ERRORS, Severity.WARNING
TITLE = "ICMP errors about connections that this NOTRACK rule takes are lost"
ADVICE = "let these errors pass: without them large transfers hang and dead ports mean time-outs"
