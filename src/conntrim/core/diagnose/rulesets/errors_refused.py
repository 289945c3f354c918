"""ICMP errors about untracked connections are refused.

What it says:
    The filter accepts ICMP errors that belong to a connection (RELATED) and
    refuses them where they belong to none, and there are NOTRACK rules.

Why it matters:
    Errors about untracked packets are INVALID. Without "too big" large
    transfers hang, without "unreachable" clients wait for a time-out.

What to do:
    Accept the ICMP types 3, 11 and 12 (ICMPv6: 1 to 4) before the rule that
    refuses INVALID or everything else.

Caveats:
    Strangers may then send such errors too; the kernel checks them against
    the sockets they are about.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.rulesets.case import RuleCase, Side, such_as
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.service import Direction
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.journey import packets_of, reach
from conntrim.core.prove.judge import ERRORS

CODE, NAME = "CT106", "errors-refused"


def refused(side: Side) -> Set:
    """ICMP errors that come in as RELATED and not as INVALID."""
    space = side.space
    scope = packets_of(space, Direction.INBOUND, side.local) & space.field(space.icmp, ERRORS[space.family])
    way = reach(space, side.full, Direction.INBOUND, scope, local=side.local)
    related = side.stateless(way.arrived & space.state(CtState.RELATED))
    return related & ~side.stateless(way.arrived & space.state(CtState.INVALID)) & ~way.untracked


def check(case: RuleCase) -> Iterator[Finding]:
    """Families with untracked packets whose errors do not come in."""
    for side in case.sides:
        if side.untracked(Direction.INBOUND) == side.space.nothing:
            continue
        found = refused(side)
        if found != side.space.nothing:
            words, witness = side.told(found, Direction.INBOUND)
            by = case.accepting(witness)
            yield Finding(
                CODE,
                Severity.WARNING,
                "ICMP errors about untracked connections are refused",
                (f"refused: {words}", such_as(witness)),
                by.place if by else None,
                ("accept ICMP types 3, 11, 12 (ICMPv6: 1 to 4) before it",),
            )
