"""A trial of some clients: the policy for them alone, which is compiled, proved and loaded like any other.

It is never kept: what it has shown is true of its clients, and the rules for all others have met no packet yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from conntrim.core.model.address import format_range
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import AnyCure, ClientLimit, Cure, Policy, ServiceTimeout, Untrack
from conntrim.core.model.service import Direction
from conntrim.core.model.share import MOST_BITS, Share


@dataclass(frozen=True, slots=True)
class Some:
    """Some clients: in these ranges (empty: anywhere), and of those the share (None: all)."""

    clients: Intervals = Intervals()
    share: Share | None = None

    def __bool__(self) -> bool:
        return bool(self.clients) or self.share is not None

    def words(self) -> tuple[str, ...]:
        """Who they are."""
        ranges = tuple(format_range(*each) for each in self.clients.ranges)
        return ranges if self.share is None else (*ranges, str(self.share))


def share_of(percent: float) -> Share | None:
    """The largest share that is no more than so many of a hundred clients; None where there is none."""
    able = (Share(bits) for bits in range(1, MOST_BITS + 1))
    return next((share for share in able if share.percent <= percent), None)


def for_clients(policy: Policy, some: Some) -> Policy:
    """The policy's cures for those of their clients that are among these; one that has none of them takes no part.

    Of an outbound service this host is the client, so it takes none either; nor do sizes and the host's own time-outs,
    which a confirm sets for everybody. What goes over `lo` is in no share: either end of it is
    this host.
    """
    return Policy(
        _narrowed(policy.untrack, some),
        own_addresses=policy.own_addresses,
        limits=_narrowed(policy.limits, some),
        service_timeouts=_narrowed(policy.service_timeouts, some),
    )


def _narrowed(cures: tuple[AnyCure, ...], some: Some) -> tuple[AnyCure, ...]:
    found = []
    for cure in cures:
        mine = _clients(cure) & some.clients if _clients(cure) and some.clients else _clients(cure) | some.clients
        narrow = _with_clients(cure, mine, some.share)
        if cure.direction is not Direction.OUTBOUND and (mine or not some.clients) and narrow.families():
            found.append(narrow)
    return tuple(found)


def _clients(cure: Cure) -> Intervals:
    match cure:
        case Untrack():
            return cure.peers
        case ServiceTimeout() | ClientLimit():
            return cure.clients
        case _:
            assert_never(cure)


def _with_clients(cure: AnyCure, clients: Intervals, share: Share | None) -> AnyCure:
    if isinstance(cure, Untrack):
        kept = cure.keep_lo_tracked or share is not None
        return replace(cure, peers=clients, share=share, keep_lo_tracked=kept)
    return replace(cure, clients=clients, share=share)
