"""What limits mean for those who are limited: in which families, which connections are refused, who is over now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conntrim.core.capacity.untrack import scaled
from conntrim.core.model.address import Family
from conntrim.core.model.census import Census
from conntrim.core.model.policy import AnyCure, ClientLimit, ServiceTimeout, only_in
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import arrange

COUNTED = "open ones are counted from the load on, and those that wait for their end (TIME_WAIT, CLOSE) are not"
"""K86, K164: what connlimit and `ct count` know."""
MOST_SHOWN = 5
"""Clients that are named."""


def in_tracked_families(cures: Sequence[AnyCure], base: Ruleset) -> tuple[AnyCure, ...]:
    """The cures in the families that the rules track: a plan must not begin to (K5). One of none stays as it is."""
    active = arrange(base).active
    return tuple(only_in(cure, [f for f in Family if active[f]]) for cure in cures)


def untracked_families(cures: Sequence[ClientLimit | ServiceTimeout], base: Ruleset, done: str) -> Iterator[str]:
    """Families that a cure leaves alone though the policy does not."""
    for cure, able in zip(cures, in_tracked_families(cures, base), strict=True):
        left = [f.label for f in cure.families() if f not in able.families()]
        if left:
            yield f"{cure.what}: nothing tracks {', '.join(left)} here, so nobody is {done} there"


def refused(limits: Sequence[ClientLimit]) -> Iterator[str]:
    """The connections that may be refused, in words."""
    for limit in limits:
        action = f"{limit.action}ed" if limit.action == "reject" else "dropped"
        beyond = " or ".join(limit.amounts)
        counted = f"; {COUNTED}" if limit.connections is not None else ""
        yield (
            f"new connections of {limit.what}, of an {limit.whom} beyond {beyond}, are {action}{counted}; "
            "whoever shares a client's address (an office behind NAT) shares its limit"
        ).replace("of an /", "of a /")


def over_now(limits: Sequence[ClientLimit], census: Census) -> Iterator[str]:
    """Clients with more entries than a limit lets them open: of all their traffic, so those of one service may be
    fewer."""
    for limit in limits:
        if limit.connections is None or limit.prefix is not None:
            continue
        rows = [(row.key, scaled(census, row.entries)) for row in census.clients.rows if row.key not in census.local]
        over = [f"{key} ({entries:,})" for key, entries in rows if entries > limit.connections]
        if over:
            more = f" and {len(over) - MOST_SHOWN} more" if len(over) > MOST_SHOWN else ""
            whose = "entries" if _whole(limit) else "entries of all kinds"
            yield (
                f"{limit.what}: over {limit.connections:,} {whose} have {', '.join(over[:MOST_SHOWN])}{more}; what "
                "they have open stays until it ends, and the entries afterwards are told without it"
            )


def taken_by(limits: Sequence[ClientLimit], census: Census) -> int | None:
    """Entries that the clients over a limit have open beyond it: what is gone once those have ended. None where the
    census cannot tell, because it counts a client's entries of all services together.

    That a client's entries wait for their end as often as those of all others is taken for granted.
    """
    taken = 0
    for limit in limits:
        if not _whole(limit) or limit.connections is None or limit.prefix is not None or limit.clients or limit.share:
            return None
        rows = [scaled(census, row.entries) for row in census.clients.rows if row.key not in census.local]
        taken += sum(max(0, round(entries * open_share(census)) - limit.connections) for entries in rows)
    return taken


def open_share(census: Census) -> float:
    """Of the entries of forwarded traffic those that a limit counts (K86)."""
    mine = [c for c in census.cells if c.path is Direction.FORWARDED]
    counted = sum(c.entries for c in mine if c.state not in UNCOUNTED)
    return counted / max(1, sum(c.entries for c in mine))


UNCOUNTED = ("tcp time_wait", "tcp close")


def _whole(limit: ClientLimit) -> bool:
    return limit.direction is Direction.FORWARDED and limit.protocol is None
