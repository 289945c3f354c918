"""DNS storm, cluster: pods ask kube-dns through a translated address.

What it says:
    Many entries of port 53 are translated to other addresses (DNAT): a
    cluster's DNS service.

Why it matters:
    Each name is looked up with every search domain, for IPv4 and IPv6: ten
    entries where one would do. Both look-ups leave from one port at once, and
    one of them may lose a race (insert_failed, CT007).

What to do:
    NodeLocal DNSCache: it listens on the node and its questions are not
    tracked. `ndots:1` or names with a dot at their end in the pods.
    Translation forbids untracking the service address itself.

Caveats:
    A gateway that redirects its clients' questions to its own resolver looks
    alike.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View

CODE, NAME, HABIT = "CT042", "dns-cluster", Habit.USUAL


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Translated questions."""
    theirs = free & view.unicast & (view.udp | view.tcp) & (view.port == 53) & view.dnat
    if not theirs.any():
        return None
    cures = Cures(case, view, theirs)
    return Claim(
        theirs,
        "DNS storm: look-ups through a translated address (kube-dns)",
        (
            f"{view.count(theirs)} translated look-ups of {view.different(view.client, theirs)} clients",
            f"answered by {view.names(view.server, theirs)}",
            f"most of {view.names(view.client, theirs)}",
        ),
        (),
        (
            cures.repair("NodeLocal DNSCache on each node: its questions are not tracked"),
            cures.repair("ndots:1 in the pods, or names with a dot at their end", works_in="with each new pod"),
            cures.service_timeout(17, 53, 5),
            cures.timeout("nf_conntrack_udp_timeout", 10),
        ),
        tuple(view.name(top.value) for top in view.tops(view.client, theirs, 3)),
    )
