"""Whom the filter lets ask an inbound service, where its rules say so by source address.

Nobody else's packets need to go untracked. What this host sends from the service's port to others (a time server to
its upstream, an IKE daemon to its peers) then stays tracked, with the answers, which the filter lets in by their state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from conntrim.core.model.address import Family, format_range
from conntrim.core.model.address_types import BROADCAST, MULTICAST
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import Untrack
from conntrim.core.model.ruleset import Dialect
from conntrim.core.model.service import Direction
from conntrim.core.plan.ground import Ground
from conntrim.core.plan.legs import Leg, Way, legs_of
from conntrim.core.plan.passages import leg_passages
from conntrim.core.plan.placing import REFUSALS, Placing, refusals
from conntrim.core.plan.spelling import prefixes
from conntrim.core.prove.cube_cover import all_of
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.packet_vars import PacketVars

MOST_SHOWN = 4
"""Ranges of clients that a remark names."""
MOST_SOURCES = 16
"""Ranges (iptables: prefixes, a rule each) that a leg may name; beyond, all sources go untracked."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A service, or some of its ports, and whom the filter lets ask there over the network; None: whom the policy
    names."""

    service: Untrack
    clients: Intervals | None = None


def asked(
    grounds: Mapping[Family, Ground], entry: Untrack, local: Intervals, local_ports: tuple[int, int], dialect: Dialect
) -> Iterator[Asked]:
    """A policy's entry by its clients, for raw rules in a dialect; whole where they are the same for all of its ports
    and families."""
    if entry.direction is not Direction.INBOUND:
        yield Asked(entry)
        return
    told: dict[Family, dict[Intervals | None, Intervals]] = {}
    for leg in legs_of(replace(entry, share=None), local, local_ports):  # a share has no ranges to be told by
        if leg.way is Way.REQUEST and not leg.loopback:
            told[leg.family] = _by_clients(grounds[leg.family], leg, dialect)
    if all(list(groups) == [None] for groups in told.values()):
        yield Asked(entry)
        return
    for family, groups in told.items():
        for clients, ports in groups.items():
            yield Asked(replace(entry, family=family, ports=ports), clients)


def _by_clients(ground: Ground, leg: Leg, dialect: Dialect) -> dict[Intervals | None, Intervals]:
    """The ports of a request's leg by who may ask there; under None, where that is whom the policy names."""
    space, everybody = ground.space, leg.fields.get(Field.SRC, leg.addresses)
    admitted, all_ = space.everything, space.everything
    for passage in leg_passages(leg, on_lo=False):
        for table, base in ground.chains(passage):
            placing = Placing(ground, passage, table, base).run()
            if placing.doubts or any(end.verdict not in REFUSALS for end in refusals(placing)):
                return {None: leg.service.ports}
            admitted, all_ = admitted & placing.first.passed, ground.packets(passage, table, passage.before)
    groups = ~(space.field(Field.DST, MULTICAST) | space.field(Field.DST, BROADCAST))
    pairs = _projected(space, admitted & all_ & groups, Field.SRC, Field.DPORT)
    whole = _projected(space, all_ & groups, Field.SRC, Field.DPORT)
    found: dict[Intervals | None, Intervals] = {}
    for ports, sources, every in _alike(space, leg.service.ports, pairs, whole):
        clients = everybody if sources == every else _named(space, sources, every, everybody)
        parts = len(clients.ranges if dialect is Dialect.NFTABLES else list(prefixes(clients)))
        key = clients if clients != everybody and parts <= MOST_SOURCES else None
        found[key] = found.get(key, Intervals()) | ports
    return found


def _projected(space: PacketVars, found: Set, *kept: Field) -> Set:
    """What packets of a set have in these fields."""
    own = {n for key in kept for n in space.bits[key]}
    return found.exists(space.sets.literals(*(n for n in range(space.sets.variables) if n not in own)))


def _alike(space: PacketVars, ports: Intervals, pairs: Set, whole: Set) -> Iterator[tuple[Intervals, Set, Set]]:
    """The ports in groups that the same sources may ask: who they are, and who they could be."""
    number, sources = (space.sets.literals(*space.bits[field]) for field in (Field.DPORT, Field.SRC))
    rest = ports
    while rest:
        one = space.values(Field.DPORT, Intervals.of(rest.ranges[0][0]))
        mine, every = ((found & one).exists(number) for found in (pairs, whole))
        same = ~(pairs ^ mine).exists(sources) & ~(whole ^ every).exists(sources)
        group = (all_of(space, Field.DPORT, same) or Intervals.of(rest.ranges[0][0])) & rest
        yield group, mine, every
        rest = rest - group


def _named(space: PacketVars, sources: Set, every: Set, everybody: Intervals) -> Intervals:
    """The sources in the fewest words: who may ask, or all but who may not, whoever can send nothing among them or not;
    everybody, where they are too many."""
    some, others, nobody = (all_of(space, Field.SRC, found) for found in (sources, every & ~sources, ~every))
    told = []
    if some is not None and nobody is not None:
        told.append(_closed_up(some, nobody))
    if others is not None:
        told.append(everybody - others)
    return min(told, key=lambda clients: len(clients.ranges), default=everybody)


def _closed_up(values: Intervals, free: Intervals) -> Intervals:
    """The values, with the gaps between them that are free in full."""
    spans = list(values.ranges)
    gaps = [Intervals.of((low + 1, high - 1)) for (_, low), (high, _) in pairwise(spans)]
    return values | Intervals.union_of(r for gap in gaps if gap <= free for r in gap.ranges)


def remarks(services: Iterable[Asked]) -> Iterator[str]:
    """What a plan says of services that the filter keeps to some, or to nobody."""
    for each in services:
        over = f"{each.service}" + (f" over {each.service.family.name}" if each.service.family else "")
        if each.clients:
            shown = [format_range(*r) for r in each.clients.ranges[:MOST_SHOWN]]
            more = "" if len(each.clients.ranges) <= MOST_SHOWN else " and more"
            yield f"{over}: the rules let only {', '.join(shown)}{more} ask, so that is who goes untracked"
        elif each.clients is not None:
            yield f"{over}: the rules let nobody ask over the network today, nor afterwards; untracked on lo only"


def closed(services: Iterable[Asked]) -> tuple[str, ...]:
    """The services whom nobody may ask over the network, in any family."""
    shut: dict[str, bool] = {}
    for each in services:
        name = str(each.service)
        shut[name] = shut.get(name, True) and each.clients == Intervals()
    return tuple(name for name, all_ in shut.items() if all_)
