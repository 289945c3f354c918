"""What a full table refuses, of which no entry tells: the arrivals with those that find no room.

The kernel counts each packet that found no room (`drop`) and each entry that was put out for another (`early_drop`).
With the entries of the last seconds these are what arrives (K128), whether the table is full in this moment or not. Who
is refused and asks again is counted each time; what would have come in the wake of who is refused is not.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.capacity.timeouts import BY_STATE
from conntrim.core.capacity.untrack import entries_total
from conntrim.core.model.census import IDLE_STEPS, Census, ServiceCount, StateCount
from conntrim.core.model.facts import HostFacts, Reading

COUNTERS = ("drop", "early_drop")
NEARLY_FULL = 0.8
"""Of max: a table that refuses now and then is not full all the time."""
WATCHED = 10.0
"""Seconds between two readings of the counters."""
RECENT = IDLE_STEPS.index(10) + 1
RECENT_SECONDS = 9
"""The idle classes up to 10 s hold what came in 9 s: seconds left are told rounded down (K161)."""
ENDING = frozenset({"tcp time_wait", "tcp close", "udp unreplied", "udp replied"})
"""States that an entry stays in until its time is over: as many are there as come in that time (Little's law)."""


def nearly_full(facts: HostFacts) -> bool:
    """Whether the table may have refused some of what came."""
    return facts.count is not None and facts.max is not None and facts.count >= NEARLY_FULL * facts.max


def refused(before: Reading, after: Reading) -> float:
    """Arrivals a second that found no room between two readings."""
    first, last = (sum(each.counters.get(name) or 0 for name in COUNTERS) for each in (before, after))
    seconds = after.seconds - before.seconds
    return max(0, last - first) / seconds if seconds > 0 else 0.0


def arrivals(census: Census, facts: HostFacts) -> Iterator[tuple[ServiceCount, StateCount, float]]:
    """What comes a second to each service and state, with its part of those refused; nothing where none is."""
    whole = entries_total(census) / max(census.total, 1)
    came = [(count, state, whole * _a_second(state, facts)) for count in census.services for state in count.states]
    every = sum(a_second for *_, a_second in came)
    if facts.refused and every:
        for count, state, a_second in came:
            if a_second:
                yield count, state, a_second * (1 + facts.refused / every)


def _a_second(state: StateCount, facts: HostFacts) -> float:
    if state.state not in ENDING:
        return 0.0
    return sum(state.idle[:RECENT]) / max(1, min(RECENT_SECONDS, seconds_of(state, facts)))


def seconds_of(state: StateCount, facts: HostFacts) -> int:
    """The host's own time-out of a state."""
    timeout = BY_STATE[state.state]
    return facts.timeouts.get(timeout.key, timeout.default)
