"""Cures for what must stay tracked: shorter time-outs of single services, limits for clients that take far too much.

Nothing is proposed below what NAT must leave a connection (K93), and no limit that a usual client would meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from conntrim.core.capacity.service_timeouts import host_seconds, least_seconds
from conntrim.core.capacity.timeouts import SHORTER
from conntrim.core.capacity.untrack import scaled
from conntrim.core.model.census import Census, ServiceCount
from conntrim.core.model.facts import HostFacts
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import TIMED, ClientLimit, ServiceTimeout
from conntrim.core.model.service import Direction
from conntrim.core.plan.limited import open_share, taken_by
from conntrim.core.plan.timed import shortened_by

WORTH = 0.05
"""A cure that takes less than 5 % of the table away is not worth rules of its own."""
FAR_MORE = 10
"""Times the median of the clients that are known: an outlier, not a busy one."""
ROOMY, LEAST = 2, 100
"""A limit is twice what the largest of all other clients has, and never below 100: a browser opens some dozens."""
WAIT = 120
"""Seconds for which a closed connection's entry stays (K31): so many seconds of short ones are there at once."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cure, what it takes away of the table, and why it and not another."""

    cure: ServiceTimeout | ClientLimit
    entries: int
    note: str


def shorter(census: Census, facts: HostFacts, stopped: Sequence[tuple[ServiceCount, str]]) -> Iterator[Candidate]:
    """Time-outs for services that cannot go untracked; not for published ones, which have another port where their
    packets leave."""
    for count, obstacle in stopped:
        service = count.service
        hidden = service.direction is Direction.FORWARDED and count.redirected
        if service.protocol not in TIMED or not service.port or hidden or service.direction is Direction.LOOPBACK:
            continue
        seconds = dict(_seconds(count, facts))
        if not seconds:
            continue
        ports, servers = Intervals.of(service.port), service.servers
        cure = ServiceTimeout(service.direction, service.protocol, ports, seconds, servers=servers)
        if (gone := shortened_by((cure,), census)) >= WORTH * scaled(census, census.total):
            why = f"{service}: cannot go untracked ({obstacle}); {gone:,} of its entries are idle for longer than this"
            yield Candidate(cure, gone, why)


def _seconds(count: ServiceCount, facts: HostFacts) -> Iterator[tuple[str, int]]:
    """By state, where it is less than what the host has."""
    protocol, port = count.service.protocol, count.service.port
    for state, key in TIMED[protocol].items():
        now, wanted = host_seconds(key, facts.timeouts), SHORTER[key]
        if count.translated:
            wanted = max(wanted, least_seconds(protocol, port, state))
        if wanted < now:
            yield state, wanted


def outlier(census: Census) -> Iterator[Candidate]:
    """A limit for forwarded traffic, where one client or a few take far more than the others: of open connections, or,
    where most are short, of new ones a second."""
    rows = [(row.key, row.entries) for row in census.clients.rows if row.key not in census.local]
    if len(rows) < 3 or not any(c.path is Direction.FORWARDED for c in census.cells):
        return
    usual = median(entries for _, entries in rows)
    over = [(key, entries) for key, entries in rows if entries > FAR_MORE * usual and entries > WORTH * census.total]
    rest = [entries for key, entries in rows if (key, entries) not in over]
    if not over or not rest:
        return
    names = ", ".join(f"{key} ({scaled(census, entries):,} entries)" for key, entries in over)
    most = max(LEAST, ROOMY * scaled(census, max(rest)))
    if open_share(census) >= 1 / 2:
        cure = ClientLimit(Direction.FORWARDED, None, connections=most)
        gone = taken_by((cure,), census) or 0
        what = f"all others have at most {scaled(census, max(rest)):,}"
    else:
        cure = ClientLimit(Direction.FORWARDED, None, per_second=max(LEAST // 10, -(-most // WAIT)))
        gone = sum(max(0, scaled(census, entries) - most) for _, entries in over)
        what = "most of the table are short connections, which no limit of open ones counts (K86)"
    if gone >= WORTH * scaled(census, census.total):
        yield Candidate(cure, gone, f"{names} fill the table for everybody; {what}")
