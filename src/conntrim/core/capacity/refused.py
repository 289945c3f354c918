"""What a full table refuses, of which no entry tells: the arrivals with those that find no room.

The kernel counts each packet that found no room (`drop`) and each entry that was put out for another (`early_drop`).
With the entries of the last seconds these are what arrives (K128), whether the table is full in this moment or not. Who
is refused and asks again is counted each time, so what comes of it is the most that there may be.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.capacity.timeouts import BY_STATE
from conntrim.core.capacity.untrack import scaled
from conntrim.core.model.census import IDLE_STEPS, Census, ServiceCount, StateCount
from conntrim.core.model.facts import HostFacts, Reading

COUNTERS = ("drop", "early_drop")
CROWDED = 0.8
"""Of max: a table that refuses now and then is not full all the time."""
WATCHED = 5.0
"""Seconds between two readings of the counters."""
RECENT = IDLE_STEPS.index(5) + 1
RECENT_SECONDS = 4
"""The idle classes up to 5 s hold what came in 4 s: seconds left are told rounded down (K161)."""
ENDING = frozenset({"tcp time_wait", "tcp close", "udp unreplied", "udp replied"})
"""States that an entry stays in until its time is over: as many are there as come in that time (Little's law)."""


def crowded(facts: HostFacts) -> bool:
    """Whether the table may have refused some of what came."""
    return facts.count is not None and facts.max is not None and facts.count >= CROWDED * facts.max


def refused(before: Reading, after: Reading) -> float:
    """Arrivals a second that found no room between two readings."""
    first, last = (sum(each.counters.get(name) or 0 for name in COUNTERS) for each in (before, after))
    seconds = after.seconds - before.seconds
    return max(0, last - first) / seconds if seconds > 0 else 0.0


def arrivals(census: Census, facts: HostFacts) -> Iterator[tuple[ServiceCount, StateCount, float]]:
    """What comes a second to each service and state, with its part of those refused; nothing where none is."""
    came = [(count, state, _recent(state)) for count in census.services for state in count.states]
    every = scaled(census, sum(recent for *_, recent in came)) / RECENT_SECONDS
    if facts.refused and every:
        for count, state, recent in came:
            if recent:
                yield count, state, scaled(census, recent) / RECENT_SECONDS * (1 + facts.refused / every)


def _recent(state: StateCount) -> int:
    return sum(state.idle[:RECENT]) if state.state in ENDING else 0


def seconds_of(state: StateCount, facts: HostFacts) -> int:
    """The host's own time-out of a state."""
    timeout = BY_STATE[state.state]
    return facts.timeouts.get(timeout.key, timeout.default)
