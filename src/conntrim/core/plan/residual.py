"""What a plan newly admits inside its policy's own legs, in words."""

from __future__ import annotations

from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals, span_text
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import End, Verdict
from conntrim.core.model.service import Direction, Hook
from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.legs import Leg

ERRORS = "ICMP errors (unreachable, too big, time exceeded, parameter problem) are let through without a flow"


def residual_exposure(c: Compiled) -> tuple[str, ...]:
    """One sentence for each leg that comes in, and one for ICMP errors where the plan lets them in."""
    found = [_said(leg) for leg in c.legs if not leg.loopback and leg.hook is not Hook.OUTPUT]
    accept = (End(Verdict.ACCEPT),)
    if any(" icmp errors " in a.rule.comment and a.rule.statements == accept for a in c.additions):
        found.append(ERRORS)
    return tuple(dict.fromkeys(found))


def _said(leg: Leg) -> str:
    tcp = leg.service.protocol == Protocol.TCP
    if leg.service.direction is Direction.INBOUND:
        flags = "; TCP packets that open no connection (ACK, FIN, RST) reach the socket too" if tcp else ""
        return f"{leg.service}: whoever the filter lets open it may send any packet to its ports{flags}"
    ports = _ports(leg.fields[Field.DPORT])
    opening = "; none that opens a connection" if tcp else ""
    return f"{leg.service}: these servers may send packets from that port to this host's ports {ports} unasked{opening}"


def _ports(ports: Intervals) -> str:
    return ", ".join(span_text(*each) for each in ports.ranges)
