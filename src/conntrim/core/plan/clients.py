"""Whom the filter lets ask an inbound service, where its rules say so by source address.

Nobody else's packets need to go untracked. What this host sends from the service's port to others (a time server to
its upstream, an IKE daemon to its peers) then stays tracked, with the answers, which the filter lets in by their state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from conntrim.core.model.address import Family, format_range
from conntrim.core.model.address_types import PacketType
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import Untrack
from conntrim.core.model.ruleset import Dialect, End, Field, InSet, Ruleset, Table
from conntrim.core.model.service import Direction
from conntrim.core.plan.admission import walked_chains
from conntrim.core.plan.legs import Leg, Way, legs_of
from conntrim.core.plan.passages import leg_passages
from conntrim.core.plan.spelling import prefixes
from conntrim.core.plan.walk import REFUSALS, Admission, Walk

TO_US = Intervals.of(PacketType.HOST)
"""The packet type of what comes to an address of the host's own: neither broadcast nor multicast."""
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
    ruleset: Ruleset, entry: Untrack, local: Intervals, local_ports: tuple[int, int], dialect: Dialect
) -> Iterator[Asked]:
    """A policy's entry by its clients, for raw rules in a dialect; whole where they are the same for all of its ports
    and families."""
    if entry.direction is not Direction.INBOUND:
        yield Asked(entry)
        return
    told: dict[Family, dict[Intervals | None, Intervals]] = {}
    for leg in legs_of(entry, local, local_ports):
        if leg.way is Way.REQUEST and not leg.loopback:
            told[leg.family] = _by_clients(ruleset, leg, dialect)
    if all(list(groups) == [None] for groups in told.values()):
        yield Asked(entry)
        return
    for family, groups in told.items():
        for clients, ports in groups.items():
            yield Asked(replace(entry, family=family, ports=ports), clients)


def _by_clients(ruleset: Ruleset, leg: Leg, dialect: Dialect) -> dict[Intervals | None, Intervals]:
    """The ports of a request's leg by who may ask there; under None, where that is whom the policy names."""
    everybody = leg.fields.get(Field.SRC, leg.addresses)
    leg = replace(leg, fields={**leg.fields, Field.SRC: everybody})  # what is refused to some is taken from it
    walks = [
        (table, Walk(table, base, passage.later).run(passage.before))
        for passage in leg_passages(leg, on_lo=False)
        for table, base in walked_chains(ruleset, passage)
    ]
    if any(not _understood(walk) for _, walk in walks):
        return {None: leg.service.ports}
    admitted = [
        [
            (_asking(a, table, Field.SRC, everybody), _asking(a, table, Field.DPORT, leg.service.ports))
            for a in walk.admitted
            if PacketType.HOST in a.box.fields.get(Field.PACKET_TYPE, TO_US)
        ]
        for table, walk in walks
    ]
    found: dict[Intervals | None, Intervals] = {}
    for ports in _alike(leg.service.ports, [there for chain in admitted for _, there in chain]):
        clients = everybody
        for chain in admitted:
            spans = [r for sources, there in chain if ports <= there for r in sources.ranges]
            clients = clients & Intervals.union_of(spans)
        parts = len(clients.ranges if dialect is Dialect.NFTABLES else list(prefixes(clients)))
        narrow = clients != everybody and parts <= MOST_SOURCES
        key = clients if narrow else None
        found[key] = found.get(key, Intervals()) | ports
    return found


def _understood(walk: Walk) -> bool:
    """Whether every way through a chain is known to end in an accept, or in a refusal."""
    ends = [s for rule in walk.refusing for s in rule.statements if isinstance(s, End)]
    return not walk.doubts and all(end.verdict in REFUSALS for end in ends)


def _asking(admission: Admission, table: Table, field: Field, all_: Intervals) -> Intervals:
    """The values of a field that an accepting rule asks for, and perhaps more."""
    found = admission.box.fields.get(field, all_)
    for match in admission.box.holds:
        if isinstance(match, InSet) and match.fields == (field,) and not match.negated:
            named = table.set(match.set_name)
            if named and named.known and not named.dynamic:
                spans = [r for (key, *_) in named.elements if isinstance(key, Intervals) for r in key.ranges]
                found = found & Intervals.union_of(spans)
    return found


def _alike(ports: Intervals, told: list[Intervals]) -> Iterator[Intervals]:
    """The ports in pieces that no rule tells apart."""
    starts = {low for p in (ports, *told) for low, _ in p.ranges} | {high + 1 for p in told for _, high in p.ranges}
    for low, high in ports.ranges:
        cuts = sorted({low, *(s for s in starts if low < s <= high)})
        for at, start in enumerate(cuts):
            yield Intervals.of((start, cuts[at + 1] - 1 if at + 1 < len(cuts) else high))


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
