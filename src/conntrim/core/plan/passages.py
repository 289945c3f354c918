"""Every kind of packet that a plan makes stateless, at every hook it passes: what it was, what it will be.

Besides the legs these are the packets *about* untracked flows, which conntrack no longer relates to them: ICMP errors
(path MTU, unreachable) turn from RELATED to INVALID, and so do the RST answers that REJECT makes (K19).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field, Key, TcpFlag
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import In
from conntrim.core.model.service import Hook
from conntrim.core.model.tcp_flags import BARE_SYN, flags_where
from conntrim.core.plan.described import Described
from conntrim.core.plan.legs import Leg, Way

ERRORS: dict[Family, tuple[Protocol, Field, tuple[int, ...]]] = {
    # RFC 792: destination unreachable (fragmentation needed is its code 4), time exceeded, parameter problem.
    Family.IPV4: (Protocol.ICMP, Field.ICMP, (3, 11, 12)),
    # RFC 4443: destination unreachable, packet too big, time exceeded, parameter problem.
    Family.IPV6: (Protocol.ICMPV6, Field.ICMPV6, (1, 2, 3, 4)),
}
"""The ICMP errors that flows need, by family: protocol, field, types."""

RST = In(Field.TCP_FLAGS, Intervals.of(int(TcpFlag.RST)), int(TcpFlag.RST))
"""`--tcp-flags RST RST`."""
WITH_RST = flags_where(lambda flags: bool(flags & TcpFlag.RST))

SIDES: dict[Hook, tuple[str, ...]] = {
    Hook.PREROUTING: ("in",),
    Hook.INPUT: ("in",),
    Hook.OUTPUT: ("out",),
    Hook.POSTROUTING: ("out",),
}
"""The interfaces that packets of this host have at each hook."""

NETWORK_IN = (Hook.PREROUTING, Hook.INPUT)
NETWORK_OUT = (Hook.OUTPUT, Hook.POSTROUTING)
LO = (Hook.OUTPUT, Hook.POSTROUTING, Hook.PREROUTING, Hook.INPUT)


@dataclass(frozen=True, slots=True)
class Passage:
    """Packets at one hook: `before` the plan (the first of them, over TCP a SYN), and `later`, all of them, after."""

    label: str
    family: Family
    hook: Hook
    before: Described
    later: Described
    leg: Leg | None = None


def _interfaces(hook: Hook, name: str) -> dict[str, str]:
    return {side: name for side in SIDES[hook]}


def leg_passages(leg: Leg, *, on_lo: bool) -> Iterator[Passage]:
    """The way of a leg's packets over the network, and over `lo` where they may also take that."""
    opening = leg.way is Way.REQUEST
    state = CtState.NEW if opening else CtState.ESTABLISHED
    first = dict(leg.fields)
    if opening and leg.service.protocol == Protocol.TCP:
        first[Field.TCP_FLAGS] = BARE_SYN
    routes = [(leg.route(), "lo" if leg.loopback else "other")]
    if on_lo and leg.hook is Hook.OUTPUT and not leg.loopback:
        routes.append((LO, "lo"))
    for route, name in routes:
        for hook in route:
            around = _interfaces(hook, name)
            later = Described(leg.fields, CtState.UNTRACKED, around)
            yield Passage(leg.label, leg.family, hook, Described(first, state, around), later, leg)


def error_passages(family: Family) -> Iterator[Passage]:
    """ICMP errors about untracked flows, in either direction."""
    protocol, field, types = ERRORS[family]
    fields: dict[Key, Intervals] = {
        Field.FAMILY: Intervals.of(family),
        Field.PROTOCOL: Intervals.of(protocol),
        field: Intervals.of(*((t << 8, t << 8 | 255) for t in types)),
    }
    for route, name, label in (
        (NETWORK_IN, "other", "errors in"),
        (NETWORK_OUT, "other", "errors out"),
        (LO, "lo", "errors lo"),
    ):
        for hook in route:
            box = Described(fields, CtState.RELATED, _interfaces(hook, name))
            yield Passage(f"icmp {label}", family, hook, box, box.in_state(CtState.INVALID))


def answer_passages(leg: Leg) -> Iterator[Passage]:
    """The RSTs with which a REJECT of this host answers an untracked request."""
    if leg.way is not Way.REPLY or leg.service.protocol != Protocol.TCP or leg.hook is not Hook.OUTPUT or leg.loopback:
        return
    fields = {**leg.fields, Field.TCP_FLAGS: WITH_RST}
    for hook in NETWORK_OUT:
        box = Described(fields, CtState.RELATED, _interfaces(hook, "other"), (RST,))
        label = leg.label.replace("reply", "reset")
        yield Passage(label, leg.family, hook, box, box.in_state(CtState.INVALID))


def passages(legs: Iterable[Leg]) -> tuple[Passage, ...]:
    """All passages of a policy's legs, errors and answers about them included."""
    legs = tuple(legs)
    on_lo = {leg.service for leg in legs if leg.loopback}
    alone = {(leg.service, leg.way) for leg in legs if leg.loopback}  # these have a leg of their own there
    found = [
        p for leg in legs for p in leg_passages(leg, on_lo=leg.service in on_lo and (leg.service, leg.way) not in alone)
    ]
    for family in dict.fromkeys(leg.family for leg in legs):
        found += error_passages(family)
    for leg in legs:
        found += answer_passages(leg)
    return tuple(found)
