"""Hand-made hosts and tables to diagnose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conntrim.core.census.classify import DIRECTIONS
from conntrim.core.census.specimen import Specimen
from conntrim.core.census.states import state_name
from conntrim.core.diagnose.case import Case, Rules
from conntrim.core.model.address import parse_address
from conntrim.core.model.census import IDLE_STEPS, Breakdown, Cell, Census, Kind, ServiceCount, StateCount
from conntrim.core.model.conntrack import Status
from conntrim.core.model.facts import Counters, HostFacts, Overflow, Reading, Setting
from conntrim.core.model.flows import ALL_COLUMNS, table_of
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.service import Direction, Service
from tests.fakes.facts import HEALTHY

WEB = Service(Direction.INBOUND, 6, 80)
CACHE = Service(Direction.OUTBOUND, 6, 11211, Intervals.of(parse_address("192.168.0.17")))
MYSQL = Service(Direction.OUTBOUND, 6, 3306, Intervals.of(parse_address("192.168.0.17")))
HERE = parse_address("192.168.0.18")
DNS = Service(Direction.OUTBOUND, 17, 53)


def state(name: str, entries: int, idle: int = 0) -> StateCount:
    """Entries of a state that are all idle for the class that begins at `idle` seconds."""
    return spread(name, {idle: entries})


def spread(name: str, by_idle: dict[int, int]) -> StateCount:
    """Entries of a state by the second at which their idle class begins."""
    steps = (0, *IDLE_STEPS)
    return StateCount(name, sum(by_idle.values()), tuple(by_idle.get(step, 0) for step in steps))


def service(
    what: Service, *states: StateCount, unreplied: int = 0, picked_up: int = 0, translated: int = 0
) -> ServiceCount:
    """A service that holds these states."""
    entries = sum(s.entries for s in states)
    return ServiceCount(what, entries, unreplied, translated, picked_up, states, 1, 1, servers=what.servers)


def census(*services: ServiceCount) -> Census:
    """A census of exactly these services."""
    total = sum(s.entries for s in services)
    empty = Breakdown((), 0, total)
    cells = tuple(
        Cell(s.service.direction, s.service.protocol, each.state, True, True, bool(s.translated), Kind.UNICAST, False,
             False, 0, each.entries)
        for s in services
        for each in s.states
    )  # fmt: skip
    return Census("this kernel", total, services, 0, 0, empty, empty, empty, ("192.168.0.18",), False, cells=cells)


def specimen(*services: ServiceCount) -> Specimen:
    """The same services entry by entry: every client has an address of its own, every server the one of its service."""
    rows = [row for what in services for row in _rows(what)]
    path, protocol, port, state_code, idle, replied, picked_up, other = (
        np.array(column, np.int64) for column in zip(*rows, strict=True)
    )
    clients = np.where(path == 2, HERE, parse_address("203.0.113.0") + np.arange(len(rows)))
    ends = [np.column_stack([np.zeros(len(rows), np.uint64), end.astype(np.uint64)])
            for end in (clients, np.where(path == 2, other, HERE))]  # fmt: skip
    ports = (32_768 + np.arange(len(rows)) % 28_000).astype(np.uint16)
    flows = table_of(len(rows), ALL_COLUMNS, {
        "protocol": protocol.astype(np.uint8), "src": ends[0], "reply_src": ends[1], "sport": ports,
        "dport": port.astype(np.uint16),
        "status": np.where(replied == 1, Status.SEEN_REPLY | Status.ASSURED, 0).astype(np.uint32),
    })  # fmt: skip
    return Specimen(
        total=len(rows), flows=flows, path=path.astype(np.uint8), port=port.astype(np.uint16), client=ends[0],
        server=ends[1], client_port=ports, state=state_code.astype(np.uint8), idle=idle.astype(np.uint8),
        kind=np.zeros(len(rows), np.uint8), picked_up=picked_up.astype(np.bool_),
    )  # fmt: skip


CODES = {state_name(protocol, code): code for protocol in (6, 17) for code in range(10 if protocol == 6 else 3)}


def _rows(count: ServiceCount) -> list[tuple[int, ...]]:
    what, unreplied, picked = count.service, count.unreplied, count.picked_up
    servers = what.servers.ranges[0][0] if what.servers else parse_address("192.0.2.53")
    rows: list[tuple[int, ...]] = []
    for each in count.states:
        for step, entries in enumerate(each.idle):
            for _ in range(entries):
                at = len(rows)
                rows.append((DIRECTIONS.index(what.direction), what.protocol, what.port, CODES[each.state], step,
                             int(at >= unreplied), int(at < picked), servers))  # fmt: skip
    return rows


def table(facts: HostFacts, *services: ServiceCount, after: Reading | None = None, rules: Rules | None = None) -> Case:
    """A host with a table of exactly these services."""
    return Case(facts, after, census(*services), specimen=specimen(*services), rules=rules)


def host(*, settings: tuple[Setting, ...] = (), overflows: tuple[Overflow, ...] = (), **changes: object) -> HostFacts:
    """A healthy host but for these facts; `drop=` and other counters by their names."""
    counters = dict(HEALTHY.counters.values)
    counters |= {key: int(str(changes.pop(key))) for key in list(changes) if key in counters}
    facts = replace(HEALTHY, counters=Counters(counters, "test"), settings=settings, overflows=overflows)
    return replace(facts, **changes)  # type: ignore[arg-type]  # the names are checked by replace itself


def later(facts: HostFacts, seconds: float = 1.0, count: int | None = None, **grown: int) -> Reading:
    """A second reading, with counters grown by so much."""
    values = {key: value + grown.get(key, 0) for key, value in facts.counters.values.items()}
    return Reading(facts.seconds + seconds, facts.count if count is None else count, Counters(values, "test"))


FULL = host(count=65_000, max=65_000, buckets=65_536, drop=1_000)
INCIDENT = table(
    FULL,
    service(CACHE, spread("tcp time_wait", {0: 20_000, 30: 20_000, 90: 211})),
    service(WEB, state("tcp time_wait", 20_000, 60), state("tcp established", 4_000)),
    service(MYSQL, state("tcp established", 789)),
    after=later(FULL, drop=93),
)
"""The source document's web host: its table is full of TIME_WAIT, and loses 93 packets a second."""
