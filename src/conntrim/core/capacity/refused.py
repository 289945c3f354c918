"""What a full table refuses, of which no entry tells: the arrivals with those that find no room.

The kernel counts each packet that found no room (`drop`) and each entry that was put out for another (`early_drop`):
who came in that way is an entry, and few of those put out had just come. With the entries of the last seconds these
are what arrives (K128). Best is a look at a table that refuses nobody: what has expired takes room until somebody walks
past (K160), so there is some in most full tables once it is swept out. Else who is refused and asks again is counted
each time, and what would have come in the wake of who is refused is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conntrim.core.capacity.timeouts import BY_STATE
from conntrim.core.capacity.untrack import entries_total
from conntrim.core.model.census import IDLE_STEPS, Census, ServiceCount, StateCount
from conntrim.core.model.facts import HostFacts, Reading, Refusals

HALF, NEARLY_FULL, FULL = 0.5, 0.8, 0.95
"""Of max. A table that refuses now and then is not full all the time: down to 95 % the collector clears one that is
(K30), and it takes out what has expired (K160), which may be half of it."""
WATCHED, LEAST, EVERY = 12.0, 6.0, 0.5
"""Seconds of a look where nothing is refused, of one that sees the room end, and between two sweeps."""
SETTLING = 1
"""Seconds at the start of a look in which those may ask again who were refused before it."""
RECENT = 10
"""Seconds: the oldest that are counted, of those that came during the look."""
ENDING = frozenset({"tcp time_wait", "tcp close", "udp unreplied", "udp replied"})
"""States that an entry stays in until its time is over: as many are there as come in that time (Little's law)."""


def nearly_full(facts: HostFacts) -> bool:
    """Whether the table may have refused some of what came: half full is enough where it ever has."""
    return _filled(facts, facts.max, HALF if _ever(facts) else NEARLY_FULL)


def _ever(facts: HostFacts) -> bool:
    return any(facts.counters.get(name) for name in ("drop", "early_drop"))


def _filled(numbers: HostFacts | Reading, most: int | None, share: float) -> bool:
    return numbers.count is not None and most is not None and numbers.count >= share * most


def looked_enough(facts: HostFacts, before: Reading, now: Reading) -> bool:
    """Whether a look is over: also where the room ends, once it was long enough."""
    seconds, lost = now.seconds - before.seconds, refusals(facts, before, now)
    ends = _filled(now, facts.max, FULL) or (lost is not None and (lost.dropped or lost.evicted) > 0)
    return seconds >= WATCHED or (seconds >= LEAST and ends)


def refusals(facts: HostFacts, before: Reading, after: Reading) -> Refusals | None:
    """What was refused between two readings; None where nothing ever was, of a table that was not full at first
    (`facts`) either."""
    dropped, evicted = (_a_second_of(before, after, name) for name in ("drop", "early_drop"))
    if not (dropped or evicted or _ever(facts) or _filled(facts, facts.max, FULL)):
        return None
    return Refusals(dropped, evicted, after.seconds - before.seconds)


def _a_second_of(before: Reading, after: Reading, counter: str) -> float:
    first, last = (each.counters.get(counter) or 0 for each in (before, after))
    seconds = after.seconds - before.seconds
    return max(0, last - first) / seconds if seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What comes a second to a service in one state, with its part of those refused: between `least`, without these,
    and `most`, with what would have come in the wake of them. `seen` entries tell it."""

    count: ServiceCount
    state: StateCount
    a_second: float
    least: float
    most: float
    seen: int


def arrivals(census: Census, facts: HostFacts) -> Iterator[Arrivals]:
    """Of a table that was full; nothing of another."""
    lost = facts.refused
    if lost is None:
        return
    whole = entries_total(census) / max(census.total, 1)
    steps = _recent(lost)
    ending = [(count, state) for count in census.services for state in count.states if state.state in ENDING]
    came = [(count, state, sum(state.idle[:steps])) for count, state in ending]
    rates = [whole * young / _span(state, steps, facts) for _, state, young in came]
    put_out = lost.evicted * _evictable(census) / 2  # half: in the middle of the look half of them had come
    refused = lost.dropped + put_out
    for (count, state, young), rate in zip(came, rates, strict=True):
        if rate:
            more = 1 + refused / sum(rates)
            yield Arrivals(count, state, rate * more, rate, rate * more * more, young)


def _recent(lost: Refusals) -> int:
    """How many idle classes hold what came during the look, and not in its first second."""
    edges = [step for step in IDLE_STEPS if step <= min(lost.seconds - SETTLING, RECENT)]
    return max(1, len(edges))


def _span(state: StateCount, steps: int, facts: HostFacts) -> int:
    """Seconds in which those came: seconds left are told rounded down, so the last one is missing (K161)."""
    return max(1, min(IDLE_STEPS[steps - 1] - 1, seconds_of(state, facts)))


def _evictable(census: Census) -> float:
    """The share of the entries that came lately among those that are put out for others (K30)."""
    cells = [cell for cell in census.cells if not (cell.assured or cell.offloaded)]
    return sum(cell.entries for cell in cells if cell.idle == 0) / max(1, sum(cell.entries for cell in cells))


def seconds_of(state: StateCount, facts: HostFacts) -> int:
    """The host's own time-out of a state."""
    timeout = BY_STATE[state.state]
    return facts.timeouts.get(timeout.key, timeout.default)
