"""What of the host, beside its rules, decides about a packet: a few settings, given and never read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conntrim.core.model.address import Family, family_of
from conntrim.core.model.conntrack import TcpState
from conntrim.core.model.intervals import Intervals
from conntrim.core.netfilter.states import FRESH, TRANSITIONS, Class, Move, Row


@dataclass(frozen=True, slots=True)
class Route:
    """Where packets to these addresses leave, and the host's own address there (0: not known)."""

    to: tuple[int, int]
    device: str
    source: int = 0


@dataclass(frozen=True, slots=True)
class Kernel:
    """`local` are the host's own addresses (empty: whatever comes in without an outgoing interface is for the host).

    `routes` stand in the order in which they are tried; what none of them tells leaves by `way` (empty: not known).
    `full`: the table is full and nothing can be evicted (K8). `active`: conntrack works in this namespace; None: it
    does if the rules use it (K5). `may_be_ours`: nobody told the addresses, so what a packet with both interfaces is
    for may be one of them: a rule then sends it on.
    """

    local: Intervals = Intervals()
    tcp_loose: bool = True
    full: bool = False
    active: bool | None = None
    fresh: tuple[Row, ...] = field(default=FRESH, hash=False)
    transitions: Mapping[tuple[bool, Class], tuple[TcpState | Move, ...]] = field(
        default_factory=lambda: TRANSITIONS, hash=False
    )
    """The two tables of states; others only where somebody wants to see them fail."""
    routes: tuple[Route, ...] = ()
    way: str = ""
    may_be_ours: bool = False
    ttl: int | None = None
    """What the kernel's own packets start with."""

    def route(self, to: int) -> Route | None:
        """The route that a packet to this address takes, where it is known."""
        return next((route for route in self.routes if route.to[0] <= to <= route.to[1]), None)

    def own(self, device: str, family: Family) -> int | None:
        """The host's own address at a device, where it is known."""
        sources = (r.source for r in self.routes if r.device == device and r.source)
        return next((source for source in sources if family_of(source) is family), None)


DEFAULTS = Kernel()
"""A kernel as it comes, of a host whose addresses nobody told."""
