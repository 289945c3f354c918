"""One client holds most of the table.

What it says:
    One address of several has half of the entries or more, and four times as
    many as the next.

Why it matters:
    All others share what is left: one machine, infected, misconfigured or
    just greedy, shuts them out.

What to do:
    Bound that client, now: a limit on its connections or new flows. Then look
    at what it does: `conntrim census --by port -s ADDRESS`.

Caveats:
    A proxy or another address translation in front of many people is one
    address as well.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import number
from conntrim.core.model.conntrack import TcpState

CODE, NAME, HABIT = "CT050", "one-client", Habit.ODD

SHARE, AHEAD, OTHERS = 0.5, 4, 2
"""Its share of the entries at least, how much more than the next, and how many others at least."""


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """All entries of the client that stands out, of those that pass through or come in."""
    from_others = view.unicast & (view.forwarded | view.inbound)
    tops = view.tops(view.client, from_others, 2)
    if len(tops) < 2 or tops[0].distinct <= OTHERS:
        return None
    first, second = tops
    theirs = free & from_others & (view.client == first.value)
    if view.share(theirs) < SHARE or first.entries < AHEAD * second.entries:
        return None
    name, cures = view.name(first.value), Cures(case, view, theirs)
    tcp = view.share(theirs & view.tcp, theirs) > 0.5
    open_ones = view.share(theirs & view.state(TcpState.ESTABLISHED, TcpState.SYN_SENT, TcpState.SYN_RECV), theirs)
    return Claim(
        theirs,
        f"one client, {name}, holds {view.percent(theirs)} of the table",
        (
            f"{view.count(theirs)} entries of {name}, the next client has {number(second.entries)}",
            f"most to {view.ports_named(theirs)}, at {view.different(view.server, theirs)} addresses",
            f"{view.percent(theirs & ~view.replied, theirs)} unanswered",
        ),
        ("a proxy or an address translation in front of many looks alike",),
        (
            *cures.limit(first.value, tcp=tcp and open_ones > 0.5),
            cures.block(first.value),
            cures.delete(name, "-s", name),
        ),
        (name,),
    )
