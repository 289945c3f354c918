"""A policy: the operator's wish, as the TOML file says it."""

from __future__ import annotations

from dataclasses import dataclass, field

from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.service import Direction


@dataclass(frozen=True, slots=True)
class Untrack:
    """One `[[untrack]]` entry: a service that goes untracked.

    `peers` are the clients of an inbound service (empty: whoever the filter admits) or the pinned servers of an
    outbound one (never empty).
    """

    direction: Direction
    protocol: int
    ports: Intervals
    peers: Intervals = Intervals()
    place: Place = Place("policy")


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator wants: services untracked, table size in entries and buckets, time-outs in seconds by key.

    None means: leave it as it is. Keys are the sysctl's (`nf_conntrack_tcp_timeout_established`).
    """

    untrack: tuple[Untrack, ...] = ()
    max: int | None = None
    buckets: int | None = None
    timeouts: dict[str, int] = field(default_factory=dict)
