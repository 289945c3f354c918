"""A policy: the operator's wish, as the TOML file says it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from conntrim.core.model.address import V4_ALL, Family, format_range
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import protocol_name
from conntrim.core.model.service import Direction

IPV4 = Intervals((V4_ALL,))
IPV6 = IPV4.complement(128)
ADDRESSES: dict[Family, Intervals] = {Family.IPV4: IPV4, Family.IPV6: IPV6}
"""All addresses of a family, as 128-bit numbers."""


def format_ports(ports: Intervals, dash: str = "-") -> str:
    """`80`, `80,443`, `8000-8010`."""
    return ",".join(str(low) if low == high else f"{low}{dash}{high}" for low, high in ports.ranges)


@dataclass(frozen=True, slots=True)
class Untrack:
    """One `[[untrack]]` entry: a service that goes untracked.

    `peers` are the clients of an inbound service (empty: whoever the filter admits) or the pinned servers of an
    outbound one (never empty). `family` pins an inbound service to one address family; peers of one family pin too.
    `keep_lo_tracked`: what goes over `lo` stays as it is.
    """

    direction: Direction
    protocol: int
    ports: Intervals
    peers: Intervals = Intervals()
    place: Place = Place("policy")
    family: Family | None = None
    keep_lo_tracked: bool = False

    def __str__(self) -> str:
        name = f"{self.direction} {protocol_name(self.protocol)}/{format_ports(self.ports)}"
        if self.peers:
            word = "to" if self.direction is Direction.OUTBOUND else "from"
            name += f" {word} {', '.join(format_range(*r) for r in self.peers.ranges)}"
        return name

    def families(self) -> tuple[Family, ...]:
        """The address families that this service is untracked in."""
        wanted = tuple(Family) if self.family is None else (self.family,)
        return tuple(f for f in wanted if not self.peers or self.peers & ADDRESSES[f])


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator wants: services untracked, table size in entries and buckets, time-outs in seconds by key.

    None means: leave it as it is. Keys are the sysctl's (`nf_conntrack_tcp_timeout_established`). `own_addresses` are
    the host's own at times: they come and go with another host's end (VRRP), and are taken to be there.
    """

    untrack: tuple[Untrack, ...] = ()
    max: int | None = None
    buckets: int | None = None
    timeouts: dict[str, int] = field(default_factory=dict)
    own_addresses: Intervals = Intervals()

    def unplaced(self) -> Policy:
        """The same wish, whichever file and line said it."""
        return replace(self, untrack=tuple(replace(u, place=Place("policy")) for u in self.untrack))
