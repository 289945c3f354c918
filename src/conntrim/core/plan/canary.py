"""A trial of some clients: the policy for them alone, which is compiled, proved and loaded like any other.

It is never kept: what it has shown is true of its clients, and the rules for all others have met no packet yet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import AnyCure, ClientLimit, Cure, Policy, ServiceTimeout, Untrack
from conntrim.core.model.service import Direction


def for_clients(policy: Policy, clients: Intervals) -> Policy:
    """The policy's cures for those of their clients that are among these; one that has none of them takes no part.

    Of an outbound service this host is the client, so it takes none either; nor do sizes and the host's own time-outs,
    which a confirm sets for everybody.
    """
    return Policy(
        _narrowed(policy.untrack, clients),
        own_addresses=policy.own_addresses,
        limits=_narrowed(policy.limits, clients),
        service_timeouts=_narrowed(policy.service_timeouts, clients),
    )


def _narrowed(cures: tuple[AnyCure, ...], clients: Intervals) -> tuple[AnyCure, ...]:
    found = []
    for cure in cures:
        mine = _clients(cure) & clients if _clients(cure) else clients
        narrow = _with_clients(cure, mine)
        if cure.direction is not Direction.OUTBOUND and mine and narrow.families():
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


def _with_clients(cure: AnyCure, clients: Intervals) -> AnyCure:
    return replace(cure, peers=clients) if isinstance(cure, Untrack) else replace(cure, clients=clients)
