"""A census: how many entries each service, state, peer and zone holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.service import Service


@dataclass(frozen=True, slots=True)
class Viewpoint:
    """From where a table is looked at: the host's addresses, its clients' ports and its time-outs.

    `local` are the host's own addresses (128-bit numbers; loopback counts as local without being named), `inferred`
    whether they were guessed from the flows. `local_ports` is the inclusive range of its clients' ports. `timeouts`
    are seconds by sysctl key; the kernel's defaults stand in for keys that are not there (K31).
    """

    local: Intervals
    local_ports: tuple[int, int] = (32_768, 60_999)
    timeouts: dict[str, int] = field(default_factory=dict)
    inferred: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a census table: what it counts, how many entries, of them how many never saw a reply."""

    key: str
    entries: int
    unreplied: int = 0


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A bounded table: the largest rows, and an honest rest. `rows` and `other_entries` add up to the total."""

    rows: tuple[Row, ...]
    other_rows: int
    other_entries: int


@dataclass(frozen=True, slots=True)
class StateCount:
    """The entries of one service in one state (`tcp time_wait`, `udp unreplied`, ...).

    `idle` counts them by the time since their last packet, the state's time-out minus the seconds left: one number
    per class of `IDLE_STEPS`. Where that time-out is not known the entries are in no class, and the numbers add up to
    less than `entries`.
    """

    state: str
    entries: int
    idle: tuple[int, ...]


IDLE_STEPS: tuple[int, ...] = (
    1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1_000, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400,
    432_000,
)  # fmt: skip
"""Upper edges in seconds of the idle-time classes: class i holds idle < IDLE_STEPS[i], one past the end the rest."""


@dataclass(frozen=True, slots=True)
class ServiceCount:
    """What one service holds. `peers` counts its distinct far ends, `addresses` those that are servers: of an outbound
    service the same, of others 0.

    The servers of an outbound service are named in `service.servers` where they are at most 16. `translated` entries
    carry NAT; `picked_up` ones were first seen in the middle of a connection, from its server's side (K13, K14).
    """

    service: Service
    entries: int
    unreplied: int
    translated: int
    picked_up: int
    states: tuple[StateCount, ...]
    addresses: int
    peers: int


@dataclass(frozen=True, slots=True)
class Sample:
    """How a sampled census was drawn: rows read of a table of `population`, and the 95 % bound of a share."""

    rows: int
    population: int
    bound: float


@dataclass(frozen=True, slots=True)
class Census:
    """Who fills the table. Each breakdown adds up to `total` exactly (to the sample's rows in a sampled census).

    `local` are the addresses taken as this host's own, `local_inferred` whether they were guessed from the flows.
    `remarks` are the collection's own errors and doubts, in words; `incomplete` tells that entries are missing because
    of them, or counted twice.
    """

    source: str
    total: int
    services: tuple[ServiceCount, ...]
    other_services: int
    other_entries: int
    states: Breakdown
    peers: Breakdown
    zones: Breakdown
    local: tuple[str, ...]
    local_inferred: bool
    bad_lines: int = 0
    sample: Sample | None = None
    remarks: tuple[str, ...] = ()
    incomplete: bool = False
