"""Services and their legs: what an entry belongs to, as seen from one host."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from conntrim.core.model.address import format_range
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import protocol_name


class Direction(StrEnum):
    """Where a flow starts and ends, seen from this host."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    FORWARDED = "forwarded"
    LOOPBACK = "loopback"


class Hook(StrEnum):
    """The netfilter hooks of the IP families; a device's ingress and egress stand before and after all others."""

    PREROUTING = "prerouting"
    INPUT = "input"
    FORWARD = "forward"
    OUTPUT = "output"
    POSTROUTING = "postrouting"
    INGRESS = "ingress"
    EGRESS = "egress"


ONE_WAY = frozenset({514, 4789, 6081, 8125, 8472})
"""UDP ports to which both ends send and from which nobody answers: syslog (RFC 5426), VXLAN (RFC 7348; Linux' own
number as well), GENEVE (RFC 8926), statsd."""


@dataclass(frozen=True, slots=True)
class Service:
    """`inbound tcp/80`; `outbound tcp/11211 to 192.168.0.17`.

    `port` is the server's port, for ICMP the type, 0 for protocols without ports. `servers` are the pinned server
    addresses of an outbound service (128-bit numbers, empty where none is named).
    """

    direction: Direction
    protocol: int
    port: int
    servers: Intervals = Intervals()

    def __str__(self) -> str:
        name = f"{self.direction} {protocol_name(self.protocol)}/{self.port}"
        if not self.servers:
            return name
        return f"{name} to {', '.join(format_range(*r) for r in self.servers.ranges)}"
