"""Connections of which a NOTRACK rule takes packets leave entries all the same.

What it says:
    Played packet by packet, these connections complete, a NOTRACK rule takes
    packets of theirs, and the table holds an entry for them afterwards.

Why it matters:
    The rule saves nothing (K14): the packets that it leaves alone are
    tracked as a connection of their own.

What to do:
    Untrack both ways or neither.

Caveats:
    Told where CT103 does not tell it already. Connections of the host to
    itself, and forwarded ones, are a note: rules for a service of this host
    meet them by the way.
"""

from __future__ import annotations

from conntrim.core.model.finding import Severity
from conntrim.core.prove.scripts import Harm

CODE, NAME = "CT118", "entry-left"
HARM, SEVERITY = Harm.ONE_SIDED, Severity.WARNING
TITLE = "connections of which this NOTRACK rule takes packets leave entries all the same"
ADVICE = "untrack both ways or neither"
