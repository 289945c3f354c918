"""A census: how many entries each service, state, peer and zone holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.service import Direction, Service


class Kind(StrEnum):
    """What an entry's destination is."""

    UNICAST = "unicast"
    BROADCAST = "broadcast"
    MULTICAST = "multicast"


@dataclass(frozen=True, slots=True)
class Viewpoint:
    """From where a table is looked at: the host's addresses, its clients' ports and its time-outs.

    `local` are the host's own addresses (128-bit numbers; loopback counts as local without being named), `inferred`
    whether they were guessed from the flows. `local_ports` is the inclusive range of its clients' ports. `timeouts`
    are seconds by sysctl key; the kernel's defaults stand in for keys that are not there (K31). `evidence` tells what
    the guess rests on, `doubt` another reading that the flows allow as well, "" where there is none. `saved`: the table
    is a listing, and its time-outs, where none are given, are those that it shows.
    """

    local: Intervals
    local_ports: tuple[int, int] = (32_768, 60_999)
    timeouts: dict[str, int] = field(default_factory=dict)
    inferred: bool = False
    evidence: tuple[str, ...] = ()
    doubt: str = ""
    saved: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a census table: what it counts, how many entries, of them how many never saw a reply."""

    key: str
    entries: int
    unreplied: int = 0


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A bounded table: the largest rows, and an honest rest. `rows` and `other_entries` add up to the total.

    A row may have up to `low_by` entries more than it says, and there may be more other rows: 0 where all were kept.
    """

    rows: tuple[Row, ...]
    other_rows: int
    other_entries: int
    low_by: int = 0


NOTHING = Breakdown((), 0, 0)


@dataclass(frozen=True, slots=True)
class Cell:
    """Entries that are alike in everything but addresses and ports, counted over the whole table.

    `idle` is the lower edge in seconds of the class (`IDLE_EDGES`) of the time since the last packet, None where the
    state's time-out is not known. `offloaded` entries have no time-out that counts. `unacknowledged` connections wait
    for an acknowledgement, of `liberal` ones the windows are not checked; only a kernel's dump tells these two.
    """

    path: Direction
    protocol: int
    state: str
    replied: bool
    assured: bool
    translated: bool
    kind: Kind
    picked_up: bool
    offloaded: bool
    idle: int | None
    entries: int
    unacknowledged: bool = False
    liberal: bool = False


IDLE_EDGES: tuple[int, ...] = (0, 10, 60, 300, 3_600, 86_400)
"""Lower edges in seconds of the idle classes of cells; each is an edge of `IDLE_STEPS` too."""


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

    The servers of an outbound service are named in `service.servers` where they are at most 16; `servers` has them
    where they are at most 1,024 (128-bit numbers, empty where they are more). `translated` entries carry NAT,
    of `redirected` ones it is the destination that is another;
    `picked_up` ones were first seen in the middle of a connection, from its server's side (K13, K14). `odd_ports` are
    those of an outbound service whose client's port is outside the host's range: unbound, say, chooses its own. Of a
    listing that range is not known, and none are counted.
    """

    service: Service
    entries: int
    unreplied: int
    translated: int
    picked_up: int
    states: tuple[StateCount, ...]
    addresses: int
    peers: int
    servers: Intervals = Intervals()
    odd_ports: int = 0
    redirected: int = 0


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
    of them, or counted twice. `cells` is the whole table without addresses and ports; `clients`, `servers` and `pairs`
    are by address, whoever of them is this host. `flagged`: what TCP noted of its entries is known, as from a kernel's
    dump. `local_evidence` and `local_doubt` are the viewpoint's,
    `timeouts_seen` the time-outs in seconds that a saved table itself shows, by sysctl key.
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
    cells: tuple[Cell, ...] = ()
    clients: Breakdown = NOTHING
    servers: Breakdown = NOTHING
    pairs: Breakdown = NOTHING
    ports: Breakdown = NOTHING
    local_evidence: tuple[str, ...] = ()
    local_doubt: str = ""
    timeouts_seen: dict[str, int] = field(default_factory=dict)
    flagged: bool = False
