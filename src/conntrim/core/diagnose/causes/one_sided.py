"""One-sided NOTRACK: only one direction of a service is untracked.

What it says:
    The rule set untracks one direction of a service, and its entries show it:
    picked up in the middle from the server's side, or without the answer.

Why it matters:
    The table fills as before, the states are wrong, and rules that drop
    INVALID break the connection.

What to do:
    Untrack both directions on both hooks: the request in PREROUTING and the
    answer in OUTPUT for an inbound service, the other way round for an
    outbound one, both in both for loopback. `conntrim plan` writes them
    together.

Caveats:
    Entries alone do not show it: a full accept queue, asymmetric routing and
    a restart of tracking leave the same ones. Without the rules it is not
    claimed.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.model.conntrack import TcpState
from conntrim.core.model.finding import Finding

CODE, NAME, HABIT = "CT014", "one-sided", Habit.WRONG


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Entries of services of which the rules untrack one direction."""
    if case.rules is None or not case.rules.one_way:
        return None
    suspects = free & one_direction_seen(view)
    named = {
        port: rule for port in view.distinct_values(view.port, suspects) if (rule := _naming(case.rules.one_way, port))
    }
    theirs = suspects & view.ports_in(tuple(named))
    if not theirs.any():
        return None
    cures, rule = Cures(case, view, theirs), named[view.top(view.port, theirs).value]
    return Claim(
        theirs,
        "one-sided NOTRACK",
        (
            f"{view.count(theirs)} entries with one direction seen, of {view.ports_named(theirs)}",
            f"{rule.code} {rule.place}: {rule.title}",
        ),
        (),
        (
            *cures.untrack(),
            cures.repair("write the rule for the other direction, in PREROUTING and in OUTPUT", "conntrim check",
                       works_in="at once; old entries time out"),
        ),
    )  # fmt: skip


def one_direction_seen(view: View) -> Mask:
    """Entries of this host that one-sided NOTRACK would leave, whatever made them."""
    later = view.tcp & ~view.state(TcpState.SYN_SENT, TcpState.SYN_RECV, TcpState.SYN_SENT2)
    unseen = ~view.replied & (later | view.udp | (view.inbound & view.state(TcpState.SYN_SENT)))
    seen: Mask = view.unicast & ~view.forwarded & (view.picked_up | unseen)
    return seen


def _naming(rules: tuple[Finding, ...], port: int) -> Finding | None:
    """The finding about a rule that names this port."""
    for rule in rules:
        packet = rule.witness
        words = " ".join((rule.title, *rule.evidence, *(edit.text for edit in rule.edits)))
        named = str(port) in words.replace(",", " ").replace(":", " ").replace("/", " ").split()
        if named or (packet is not None and port in (packet.sport, packet.dport)):
            return rule
    return None
