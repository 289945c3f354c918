"""Services that are small each and many together: the fifty ports of a proxy, and what it asks behind them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from statistics import median

from conntrim.core.capacity.untrack import LARGE_SHARE, obstacle
from conntrim.core.model.census import Census, ServiceCount
from conntrim.core.model.service import Direction

ALIKE = 4
"""Times more or less than the median of the group: beyond, a service is of another kind, ssh beside a proxy's ports."""
MOST = 256
"""Services of one group: a person has to review their ports."""


def groups(
    census: Census, large: Collection[ServiceCount], local_ports: tuple[int, int]
) -> Iterator[tuple[ServiceCount, ...]]:
    """Services beside the large ones that may go untracked and together hold what a large one does, by direction and
    protocol; those that hold most first."""
    by_kind: dict[tuple[bool, int], list[ServiceCount]] = defaultdict(list)
    for count in census.services:
        if count not in large and _able(count, local_ports):
            by_kind[count.service.direction is Direction.OUTBOUND, count.service.protocol].append(count)
    found = []
    for members in by_kind.values():
        usual = median(each.entries for each in members)
        alike = tuple(each for each in members if usual <= each.entries * ALIKE <= usual * ALIKE**2)[:MOST]
        if len(alike) > 1 and _entries(alike) >= LARGE_SHARE * census.total:
            found.append(alike)
    yield from sorted(found, key=lambda each: -_entries(each))


def _entries(counts: Collection[ServiceCount]) -> int:
    return sum(count.entries for count in counts)


def _able(count: ServiceCount, local_ports: tuple[int, int]) -> bool:
    """Whether it may be one of a group: answered, as the ports that somebody scans are not; and a service's port, for a
    range of a host's own clients' ports would untrack what they open."""
    outbound = count.service.direction is Direction.OUTBOUND
    own = outbound or not local_ports[0] <= count.service.port <= local_ports[1]
    return own and count.unreplied * 2 <= count.entries and not obstacle(count)
