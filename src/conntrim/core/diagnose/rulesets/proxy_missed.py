"""SYNPROXY answers SYNs of connections that it never opens.

What it says:
    A NOTRACK rule leaves these SYNs to a rule of SYNPROXY, or nft's
    synproxy, which answers them. The ACK that ends the handshake does not
    come to it, or packets behind it are untracked as well (K115).

Why it matters:
    The client takes the connection for open, and the server never hears of
    it: every connection to the service hangs or is reset.

What to do:
    Set net.netfilter.nf_conntrack_tcp_loose to 0, so that the ACK, which no
    entry knows, is INVALID. Untrack the SYN alone (--syn), no later packet
    and no answer, and let the proxy's rule match INVALID and UNTRACKED.

Caveats:
    nf_conntrack_tcp_loose is the kernel's own; for a file the option
    --tcp-loose tells it, else it is taken as 1, the kernel's default. Where
    the connections do not come about without NOTRACK either, it is a warning.
"""

from __future__ import annotations

from conntrim.core.model.finding import Severity
from conntrim.core.prove.scripts import Harm

CODE, NAME = "CT121", "proxy-missed"
HARM, SEVERITY = Harm.PASSED_BY, Severity.CRITICAL
TITLE = "SYNPROXY answers the SYNs that this NOTRACK rule leaves to it, and never opens the connections"
ADVICE = (
    "set net.netfilter.nf_conntrack_tcp_loose to 0, untrack the SYN alone (--syn), and let the proxy's rule match "
    "INVALID and UNTRACKED"
)
