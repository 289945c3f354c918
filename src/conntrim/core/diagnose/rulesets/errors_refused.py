"""ICMP errors about untracked connections are refused.

What it says:
    The filter accepts ICMP errors that belong to a connection (RELATED) and
    refuses them where they belong to none, and the connections of these
    NOTRACK rules lose errors that way. Where a rule takes one way of a
    connection alone, its entry stays and knows them: then this is not said.

Why it matters:
    Errors about untracked packets are INVALID. Without "too big" large
    transfers hang, without "unreachable" clients wait for a time-out.

What to do:
    Accept the ICMP types 3, 11 and 12 (ICMPv6: 1 to 4) before the rule that
    refuses INVALID or everything else.

Caveats:
    Anybody may then send such errors too; the kernel checks them against
    the sockets they are about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conntrim.core.diagnose.rulesets import rewrite
from conntrim.core.diagnose.rulesets.case import RuleCase, Side, Told, such_as
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Edit, Finding, Severity
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import In, Rule
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.icmp import ICMP, any_code
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import ERRORS
from conntrim.core.prove.scripts import Harm

CODE, NAME = "CT106", "errors-refused"

PUT = "a rule that an edit puts there"
"""Nobody can name its place; what proves edits has to see that the finding tells of more."""

ABOUT: dict[Direction, tuple[Direction, ...]] = {
    Direction.INBOUND: (Direction.INBOUND, Direction.OUTBOUND),
    Direction.FORWARDED: (Direction.FORWARDED,),
    Direction.OUTBOUND: (Direction.INBOUND, Direction.FORWARDED),
}
"""The way of the errors, and that of the packets which they are about."""


def refused(side: Side, direction: Direction) -> Set:
    """ICMP errors that pass as RELATED and not as INVALID."""
    space = side.space
    way, errors = side.way(direction), space.field(space.icmp, ERRORS[space.family])
    related = errors & side.stateless(way.arrived & space.state(CtState.RELATED))
    return related & ~side.stateless(way.arrived & space.state(CtState.INVALID)) & ~way.untracked


def connected(side: Side, direction: Direction) -> Set:
    """The untracked packets of connections: a SYN that a proxy answers belongs to none yet, and errors about the
    connection behind it find its entry (K115)."""
    proxied = side.harmed(Harm.PROXIED, direction) | side.harmed(Harm.PASSED_BY, direction)
    return side.untracked(direction) & ~proxied


def check(case: RuleCase) -> Iterator[Finding]:
    """Directions with untracked packets about which errors do not come in, or are not passed on."""
    for side in case.sides:
        for direction, asked in ABOUT.items():
            if all(connected(side, d) == side.space.nothing for d in asked):
                continue
            found = refused(side, direction)
            if found != side.space.nothing and (whose := side.losing_errors(direction)):
                yield _finding(case, side.told(found, direction), direction, whose)


def _finding(case: RuleCase, told: Told, direction: Direction, whose: Sequence[Rule]) -> Finding:
    rule, home = case.refusing(told.witness)
    place = rule.place if rule else home.chain.place if home else None
    about = ", ".join(dict.fromkeys(str(each.place) if each.place.source else PUT for each in whose))
    by = rule.text if rule else f"the policy of {home.chain.name}" if home else ""
    return Finding(
        CODE,
        Severity.WARNING,
        f"{ICMP[told.witness.family].name} errors about untracked connections are refused, {direction}",
        (
            f"refused: {told.words}",
            such_as(told.witness),
            *((f"refused by {place}: {by}",) if place else ()),
            *((f"untracked by {about}",) if about else ()),
        ),
        place,
        ("accept these types before it: without them large transfers hang and dead ports mean time-outs",),
        witness=told.witness,
        edits=accepts(case, told.witness),
    )


def accepts(case: RuleCase, witness: Packet) -> tuple[Edit, ...]:
    """Accepts of the errors, each type its rule."""
    place = case.in_front(witness)
    if place is None:
        return ()
    home, anchor = place
    icmp = ICMP[witness.family]
    found: list[Edit] = []
    for kind in icmp.vital:
        number = In(Field.PROTOCOL, Intervals.of(int(icmp.protocol)))
        asked = (number, In(icmp.field, any_code(Intervals.of(kind))))
        found += rewrite.in_front(home, anchor, rewrite.made(asked, rewrite.ACCEPT))
    return tuple(found)
