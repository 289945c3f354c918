"""Hand-made hosts and tables to diagnose."""

from __future__ import annotations

from dataclasses import replace

from conntrim.core.diagnose.case import Case
from conntrim.core.model.address import parse_address
from conntrim.core.model.census import IDLE_STEPS, Breakdown, Census, ServiceCount, StateCount
from conntrim.core.model.facts import Counters, HostFacts, Overflow, Reading, Setting
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.service import Direction, Service
from tests.fakes.facts import HEALTHY

WEB = Service(Direction.INBOUND, 6, 80)
CACHE = Service(Direction.OUTBOUND, 6, 11211, Intervals.of(parse_address("192.168.0.17")))
MYSQL = Service(Direction.OUTBOUND, 6, 3306, Intervals.of(parse_address("192.168.0.17")))
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
    return ServiceCount(what, entries, unreplied, translated, picked_up, states, 1, 1)


def census(*services: ServiceCount) -> Census:
    """A census of exactly these services."""
    total = sum(s.entries for s in services)
    empty = Breakdown((), 0, total)
    return Census("this kernel", total, services, 0, 0, empty, empty, empty, ("192.168.0.18",), False)


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
INCIDENT = Case(
    FULL,
    later(FULL, drop=93),
    census(
        service(CACHE, spread("tcp time_wait", {0: 20_000, 30: 20_000, 90: 211})),
        service(WEB, state("tcp time_wait", 20_000, 60), state("tcp established", 4_000)),
        service(MYSQL, state("tcp established", 789)),
    ),
)
"""The source document's web host: its table is full of TIME_WAIT, and loses 93 packets a second."""
