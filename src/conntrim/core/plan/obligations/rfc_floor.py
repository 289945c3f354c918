"""No translated connection gets less time than NAT must leave it, unless the policy says so.

How it is decided:
    A service whose connections a rule may translate has floors: what RFC
    5382 (TCP: 7,440 s established, 240 s opening and closing) and RFC 4787
    (UDP: 120 s, but for ports up to 1023) ask for, or the host's own
    time-out where that is less already.

Broken means:
    Connections that are idle and whole are forgotten by the gateway, and cut
    at their next packet (K93): pools of databases, ssh, push channels.

What to do:
    Name more seconds, or `accept_below_rfc = true` where you know the
    service's clients.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.capacity.service_timeouts import host_seconds, least_seconds
from conntrim.core.model.policy import TIMED, ServiceTimeout
from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.obligations.spec import BROKEN, OPEN, Judgement, Spec
from conntrim.core.plan.timed import opened_by
from conntrim.core.prove.classes import Class, may_be_translated
from conntrim.core.prove.diagram import NotDecided

NAME = "rfc-floor"


def by_plan(c: Compiled) -> Iterator[Judgement]:
    """The services with less than their floors."""
    for each in c.timeouts:
        below = tuple(_below(each, c.facts.timeouts))
        if not below or each.accept_below_rfc:
            continue
        classes = [Class(each.direction, family, opened_by(each, family)) for family in each.families()]
        try:
            if may_be_translated(c.before, classes, c.facts.local, c.tick):
                yield BROKEN, f"{each.what} may be translated, and has {', '.join(below)}", ""
        except NotDecided as why:
            yield OPEN, str(why), ""


def _below(timeout: ServiceTimeout, host: dict[str, int]) -> Iterator[str]:
    for state, seconds in timeout.seconds.items():
        least = least_seconds(timeout.protocol, timeout.ports.ranges[-1][1], state)
        least = min(least, host_seconds(TIMED[timeout.protocol][state], host))
        if seconds < least:
            yield f"{seconds:,} s for {state} where {least:,} are the least"


SPEC = Spec(NAME, "no translated connection gets less than RFC 5382 and RFC 4787 ask for", by_plan=by_plan)
