"""A census to a policy: which services are worth leaving untracked, and which must not be, with the reasons."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from conntrim.core.capacity.refused import Arrivals, arrivals, seconds_of
from conntrim.core.capacity.sizing import size_for
from conntrim.core.capacity.untrack import entries_total, entries_without, largest, obstacle, pinned, scaled
from conntrim.core.model.census import Census, ServiceCount
from conntrim.core.model.facts import HostFacts
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import ClientLimit, Policy, ServiceTimeout, Untrack
from conntrim.core.model.service import Direction
from conntrim.core.plan.grouped import groups
from conntrim.core.plan.limited import taken_by
from conntrim.core.plan.remaining import Candidate, outlier, shorter
from conntrim.core.plan.timed import gone_of, new_seconds, shortened_by

Z95 = 1.96
"""Of the normal distribution, for bounds on both sides."""
CROWDED = 0.5
"""Above half of max the table is too small for what stays in it: normal days belong below."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A policy, a note for each service in it, and what was left out and why; `obstacles` are those reasons alone."""

    policy: Policy
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    obstacles: tuple[str, ...] = ()


def untrack_of(count: ServiceCount) -> Untrack:
    """The policy entry of a service; one on `lo` is served by this very host."""
    service = count.service
    outbound = service.direction is Direction.OUTBOUND
    direction = Direction.OUTBOUND if outbound else Direction.INBOUND
    return Untrack(direction, service.protocol, Intervals.of(service.port), pinned(count) if outbound else Intervals())


def covers(entry: Untrack, count: ServiceCount) -> bool:
    """Whether all entries of a service vanish with a policy entry, but those from odd ports; one pinned to some clients
    does not say."""
    service = count.service
    if entry.protocol != service.protocol or service.port not in entry.ports:
        return False
    if entry.direction is Direction.OUTBOUND:
        return service.direction is Direction.OUTBOUND and bool(count.servers) and count.servers <= entry.peers
    return service.direction in (Direction.INBOUND, Direction.LOOPBACK) and not (entry.peers or entry.share)


def predicted(policy: Policy, census: Census, facts: HostFacts | None = None) -> tuple[int, int | None]:
    """Entries before and after, as far as the census names the services; None where it cannot tell what a limit
    leaves. With those that a full table refuses (facts), and no limit will."""
    taken = taken_by(policy.limits, census)
    if taken is None:
        return entries_total(census), None
    left = max(0, _tracked(policy.untrack, census) - taken - shortened_by(policy.service_timeouts, census))
    if facts is not None and facts.max is not None and not policy.limits:
        left = min(left + _refused(policy.untrack, policy.service_timeouts, census, facts), facts.max)
    return entries_total(census), left


def _refused(untrack: Sequence[Untrack], timeouts: Sequence[ServiceTimeout], census: Census, facts: HostFacts) -> int:
    """Entries that there will be besides once nobody is refused who is now: as many as come in their time."""
    return round(sum(more for *_, more in _coming(untrack, timeouts, census, facts)))


def _coming(
    untrack: Sequence[Untrack], timeouts: Sequence[ServiceTimeout], census: Census, facts: HostFacts
) -> Iterator[tuple[Arrivals, int, float]]:
    """What arrives and stays tracked, for so many seconds, and the entries of it that are not there yet."""
    for each in arrivals(census, facts):
        if not any(covers(u, each.count) for u in untrack):
            seconds = new_seconds(each.count, each.state, timeouts) or seconds_of(each.state, facts)
            left = scaled(census, each.state.entries - gone_of(each.count, each.state, timeouts))
            yield each, seconds, max(0, each.a_second * seconds - left)


def bounds(policy: Policy, census: Census, facts: HostFacts) -> tuple[int, int] | None:
    """Between what the entries afterwards are, at 95 %, where they were told of arrivals; None where they were not.

    Counted is what comes and goes by chance, that none of those refused may be one more entry, and that each may keep
    another from being asked for.
    """
    left = predicted(policy, census, facts)[1]
    coming = [] if policy.limits else list(_coming(policy.untrack, policy.service_timeouts, census, facts))
    if left is None or facts.max is None or not coming:
        return None
    chance = Z95 * math.sqrt(sum((each.a_second * seconds) ** 2 / each.seen for each, seconds, _ in coming))
    fewer = sum(min(more, (each.a_second - each.least) * seconds) for each, seconds, more in coming)
    wake = sum((each.most - each.a_second) * seconds for each, seconds, _ in coming)
    return max(0, round(left - chance - fewer)), min(round(left + chance + wake), facts.max)


def _tracked(untrack: Iterable[Untrack], census: Census) -> int:
    """Entries of what stays tracked."""
    entries = tuple(untrack)
    return entries_without(census, [c.service for c in census.services if any(covers(u, c) for u in entries)])


def _together(entries: Iterable[Untrack]) -> Iterator[Untrack]:
    """Ports of the same peers are one entry: nobody is in it whom none of them had."""
    found: dict[tuple[Direction, int, Intervals], Intervals] = defaultdict(Intervals)
    for entry in entries:
        found[entry.direction, entry.protocol, entry.peers] |= entry.ports
    for (direction, protocol, peers), ports in found.items():
        yield Untrack(direction, protocol, ports, peers)


def propose(census: Census, facts: HostFacts) -> Proposal:
    """The cheapest set that leaves the table half empty: the large services without an obstacle go untracked; where
    that is not enough, or there are none, others get shorter time-outs and clients a limit, what takes most first; a
    larger table only where what stays would crowd it all the same.
    """
    large = largest(census)
    stopped = [(c, why) for c in large if (why := obstacle(c))]
    chosen = [c for c in large if not obstacle(c)]
    untrack = tuple(dict.fromkeys(map(untrack_of, chosen)))  # inbound and loopback entries of one port are one
    after, added = _tracked(untrack, census), list[Candidate]()
    able = sorted((*shorter(census, facts, stopped), *outlier(census)), key=lambda c: -c.entries)
    limited = any(isinstance(c.cure, ClientLimit) for c in able)  # then who is refused is whom a limit would refuse

    def full(entries: int) -> bool:
        timed = [c.cure for c in added if isinstance(c.cure, ServiceTimeout)]
        more = 0 if limited else _refused(untrack, timed, census, facts)
        return facts.max is not None and entries + more > facts.max * CROWDED

    def wanted() -> bool:
        return full(after) or not (untrack or added)

    for group in groups(census, large, facts.local_ports):
        if wanted():
            chosen += group
            untrack += tuple(_together(map(untrack_of, group)))
            after = _tracked(untrack, census)
    for candidate in able:
        if wanted():
            added.append(candidate)
            after = max(0, after - candidate.entries)
    size = size_for(after, facts.slab_entry_bytes)
    crowded = facts.max is not None and facts.max < size.max and full(after)
    timeouts = [c for c in added if isinstance(c.cure, ServiceTimeout)]
    limits = [c for c in added if isinstance(c.cure, ClientLimit)]
    policy = Policy(
        untrack,
        size.max if crowded else None,
        size.buckets if crowded else None,
        limits=tuple(c.cure for c in limits if isinstance(c.cure, ClientLimit)),
        service_timeouts=tuple(c.cure for c in timeouts if isinstance(c.cure, ServiceTimeout)),
    )
    return Proposal(
        policy,
        (*(_note(u, chosen, census) for u in untrack), *(c.note for c in (*timeouts, *limits))),
        tuple(f"{c.service}, {_share([c], census)}, stays tracked: {why}" for c, why in stopped),
        tuple(why for _, why in stopped),
    )


def _note(entry: Untrack, chosen: Iterable[ServiceCount], census: Census) -> str:
    counts = [c for c in chosen if covers(entry, c)]
    if len(counts) <= MOST_NAMED:
        return "; ".join(f"{c.service}: {_share([c], census)}" for c in counts)
    return f"{len(counts)} services of a kind, each small: together {_share(counts, census)}"


MOST_NAMED = 3
"""Services that a note tells one by one."""


def _share(counts: Sequence[ServiceCount], census: Census) -> str:
    entries = sum(c.entries for c in counts)
    return f"{scaled(census, entries):,} entries, {100 * entries / max(census.total, 1):.0f} %"
