"""A policy: the operator's wish, as the TOML file says it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

from conntrim.core.model.address import V4_ALL, Family, format_range
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals, span_text
from conntrim.core.model.protocol import Protocol, protocol_name
from conntrim.core.model.service import Direction
from conntrim.core.model.share import Share

IPV4 = Intervals((V4_ALL,))
IPV6 = IPV4.complement(128)
ADDRESSES: dict[Family, Intervals] = {Family.IPV4: IPV4, Family.IPV6: IPV6}
"""All addresses of a family, as 128-bit numbers."""


def format_ports(ports: Intervals, dash: str = "-") -> str:
    """`80`, `80,443`, `8000-8010`."""
    return ",".join(span_text(*each, dash) for each in ports.ranges)


def service_name(direction: Direction, protocol: int | None, ports: Intervals) -> str:
    """`inbound tcp/80`; of all ports `inbound tcp`, of all protocols `inbound traffic`."""
    return f"{direction} {'traffic' if protocol is None else protocol_name(protocol)}" + (
        f"/{format_ports(ports)}" if ports else ""
    )


def _at(word: str, addresses: Intervals, share: Share | None = None) -> str:
    told = [", ".join(format_range(*each) for each in addresses.ranges)] if addresses else []
    told += [] if share is None else [str(share)]
    return f" {word} {', '.join(told)}" if told else ""


def _with_addresses(family: Family | None, *ends: Intervals) -> tuple[Family, ...]:
    """The families, or the one that is pinned, of which each end has addresses; an end without any is everybody."""
    wanted = tuple(Family) if family is None else (family,)
    return tuple(f for f in wanted if all(not end or end & ADDRESSES[f] for end in ends))


@dataclass(frozen=True, slots=True)
class Untrack:
    """One `[[untrack]]` entry: a service that goes untracked.

    `peers` are the clients of an inbound service (empty: whoever the filter admits) or the pinned servers of an
    outbound one (never empty). `family` pins an inbound service to one address family; peers of one family pin too.
    `keep_lo_tracked`: what goes over `lo` stays as it is. `share` are those of its clients that it is for
    (None: all), as in the other cures; a trial says so, no file.
    """

    direction: Direction
    protocol: int
    ports: Intervals
    peers: Intervals = Intervals()
    place: Place = Place("policy")
    family: Family | None = None
    keep_lo_tracked: bool = False
    share: Share | None = None

    def __str__(self) -> str:
        return self.name + _at("to" if self.direction is Direction.OUTBOUND else "from", self.peers, self.share)

    @property
    def name(self) -> str:
        """`inbound tcp/80`: how the comments of its rules begin."""
        return service_name(self.direction, self.protocol, self.ports)

    def families(self) -> tuple[Family, ...]:
        """The address families that this service is untracked in."""
        return _with_addresses(self.family, self.peers)


class Refusal(StrEnum):
    """What becomes of a new connection of a client that has too many."""

    REJECT = "reject"
    DROP = "drop"


CLIENT: dict[Family, int] = {Family.IPV4: 32, Family.IPV6: 64}
"""The prefix that is one client: every host of IPv6 has a /64 of addresses to choose from (RFC 4291)."""


@dataclass(frozen=True, slots=True)
class ClientLimit:
    """One `[[limit]]` entry: new connections of a client are refused beyond `connections` open ones, and beyond
    `per_second` new ones; either may be missing, not both.

    `direction` is inbound or forwarded. `protocol` None: all protocols; `ports` empty: all ports. `prefix` is how many
    bits of the address make a client, None where an address of IPv4 and a /64 of IPv6 does. `clients` are those that
    it is for (empty: everybody), `share` those of them (None: all).
    """

    direction: Direction
    protocol: int | None
    ports: Intervals = Intervals()
    prefix: int | None = None
    connections: int | None = None
    per_second: int | None = None
    action: Refusal = Refusal.REJECT
    clients: Intervals = Intervals()
    place: Place = Place("policy")
    family: Family | None = None
    share: Share | None = None

    def __str__(self) -> str:
        return f"{self.what} to {' and '.join(self.amounts)} for each {self.whom}"

    @property
    def what(self) -> str:
        """The traffic: `forwarded udp/53`, `forwarded traffic`; of some clients only, whose."""
        return service_name(self.direction, self.protocol, self.ports) + _at("from", self.clients, self.share)

    @property
    def amounts(self) -> tuple[str, ...]:
        """What a client may have."""
        open_ones = () if self.connections is None else (f"{self.connections:,} open connections",)
        return open_ones + (() if self.per_second is None else (f"{self.per_second:,} new ones a second",))

    @property
    def whom(self) -> str:
        """What a client is."""
        if self.prefix is not None:
            return f"/{self.prefix}"
        told = {Family.IPV4: "IPv4 address", Family.IPV6: "IPv6 /64"}
        return " and ".join(told[family] for family in self.families())

    def bits(self, family: Family) -> int:
        """How many bits of an address make a client."""
        return CLIENT[family] if self.prefix is None else self.prefix

    def families(self) -> tuple[Family, ...]:
        """The address families that it is for: a prefix of its own is IPv4's up to 32 bits, where nothing else says."""
        if self.family is not None:
            return (self.family,)
        able = tuple(Family) if self.prefix is None else (Family.IPV4 if self.prefix <= 32 else Family.IPV6,)
        return tuple(f for f in able if not self.clients or self.clients & ADDRESSES[f])


TIMED: dict[int, dict[str, str]] = {
    Protocol.TCP: {
        state: f"nf_conntrack_tcp_timeout_{state}"
        for state in (
            "syn_sent", "syn_recv", "established", "fin_wait", "close_wait", "last_ack", "time_wait", "close"
        )
    },
    Protocol.UDP: {"unreplied": "nf_conntrack_udp_timeout", "replied": "nf_conntrack_udp_timeout_stream"},
}  # fmt: skip
"""The states of which a service may have a time-out of its own, and the sysctl of the host's, by protocol."""


@dataclass(frozen=True, slots=True)
class ServiceTimeout:
    """One `[[timeout]]` entry: connections of a service opened from now on have time-outs of their own.

    `seconds` are by state (`TIMED`); all others stay the host's. `clients` and `servers` are the ends that it is for
    (empty: all), `share` those of the clients (None: all). `accept_below_rfc`: translated connections may have less
    than NAT's minima (K93).
    """

    direction: Direction
    protocol: int
    ports: Intervals
    seconds: dict[str, int]
    clients: Intervals = Intervals()
    servers: Intervals = Intervals()
    accept_below_rfc: bool = False
    place: Place = Place("policy")
    family: Family | None = None
    share: Share | None = None

    def __str__(self) -> str:
        told = ", ".join(f"{state} {seconds:,} s" for state, seconds in self.seconds.items())
        return f"{self.what}: {told}"

    @property
    def what(self) -> str:
        """The service: `forwarded udp/53`."""
        name = service_name(self.direction, self.protocol, self.ports)
        return name + _at("from", self.clients, self.share) + _at("to", self.servers)

    def families(self) -> tuple[Family, ...]:
        """The address families that it is for."""
        return _with_addresses(self.family, self.clients, self.servers)


Cure = Untrack | ClientLimit | ServiceTimeout
"""What a policy asks for beside sizes: a closed union, each kind compiled to operations of the same change."""


AnyCure = TypeVar("AnyCure", bound=Cure)


def only_in(cure: AnyCure, families: Collection[Family]) -> AnyCure:
    """The cure in those of its families that are among these, where that is one; of none or of both as it is."""
    able = [f for f in cure.families() if f in families]
    return replace(cure, family=able[0]) if len(able) == 1 else cure


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator wants: services untracked, their time-outs, clients limited, table size in entries and buckets,
    the host's time-outs in seconds by key.

    None means: leave it as it is. Keys are the sysctl's (`nf_conntrack_tcp_timeout_established`). `own_addresses` are
    the host's own at times: they come and go with another host's end (VRRP), and are taken to be there.
    """

    untrack: tuple[Untrack, ...] = ()
    max: int | None = None
    buckets: int | None = None
    timeouts: dict[str, int] = field(default_factory=dict)
    own_addresses: Intervals = Intervals()
    limits: tuple[ClientLimit, ...] = ()
    service_timeouts: tuple[ServiceTimeout, ...] = ()

    @property
    def cures(self) -> tuple[Cure, ...]:
        """All that changes rules."""
        return (*self.untrack, *self.service_timeouts, *self.limits)

    def unplaced(self) -> Policy:
        """The same wish, whichever file and line said it."""
        nowhere = Place("policy")
        return replace(
            self,
            untrack=tuple(replace(u, place=nowhere) for u in self.untrack),
            limits=tuple(replace(each, place=nowhere) for each in self.limits),
            service_timeouts=tuple(replace(each, place=nowhere) for each in self.service_timeouts),
        )
