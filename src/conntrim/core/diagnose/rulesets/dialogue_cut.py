"""Connections that work without a NOTRACK rule do not come about with it.

What it says:
    Every kind of dialogue (TCP from the SYN to the last ACK, a query and its
    answer, datagrams one way, echoes) is played on every path, with the rule
    set as it is and with its NOTRACK rules doing nothing. These complete
    without them, and not with them; the packet that is refused, and what
    refuses it, stand behind `such as`.

Why it matters:
    The connection never comes about: whoever opens it sees a time-out.

What to do:
    Leave these connections tracked, both ways: accept them in raw before the
    NOTRACK rule, or name in it the service that is meant. Or let their
    untracked packets and answers pass the filter.

Caveats:
    Told where no finding with a name of its own tells it already. Who
    connects from one of a service's own ports, or from a port below 1024, is
    not looked at. Of connections that a rule translates, or whose ways are in
    two zones, some are played, one of each kind. Forwarded packets count where
    some rule lets them pass or gives them another source. Where rules ask for
    the length, packets have those that plain programs send. Rules that count
    are taken as for a client that is new to them; where a connection is cut
    only for one answer of another match that is not understood, it is a
    warning.
"""

from __future__ import annotations

from conntrim.core.model.finding import Severity
from conntrim.core.prove.scripts import Harm

CODE, NAME = "CT117", "dialogue-cut"
HARM, SEVERITY = Harm.CUT, Severity.CRITICAL
TITLE = "connections that work without this NOTRACK rule do not come about with it"
ADVICE = "leave them tracked, both ways, or let their untracked packets and answers pass"
