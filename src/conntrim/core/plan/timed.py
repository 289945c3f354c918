"""Time-outs of services as rules and objects, and what they mean for connections.

They are nft's, on hosts of iptables too, where that is there (else `timed_xt.py`): iptables' `CT --timeout` stands in
raw, where nobody knows yet which way a packet goes and what it is translated to. nft gives an entry its time-outs at
the packet that opens it, at any hook before the entry is in the table (K80): in INPUT, FORWARD and OUTPUT, each of
which knows the way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from conntrim.core.capacity.service_timeouts import all_seconds
from conntrim.core.capacity.timeouts import gone
from conntrim.core.capacity.untrack import scaled
from conntrim.core.model.address import Family
from conntrim.core.model.census import Census, ServiceCount, StateCount
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.facts import HostFacts
from conntrim.core.model.fields import Field, Fields, Key
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import OWN_TABLE, Purpose
from conntrim.core.model.policy import ADDRESSES, TIMED, ServiceTimeout
from conntrim.core.model.protocol import Protocol, protocol_name
from conntrim.core.model.ruleset import Dialect, Interface, NoEffect, Return, Rule, TableFamily
from conntrim.core.model.service import Direction, Hook, Service
from conntrim.core.model.share import told_by
from conntrim.core.plan.changes import Own
from conntrim.core.plan.described import Described, by_family
from conntrim.core.plan.spelling import PLACE, spell

HOOKS: dict[Direction, tuple[Hook, str]] = {
    Direction.INBOUND: (Hook.INPUT, "in"), Direction.OUTBOUND: (Hook.OUTPUT, "out"),
    Direction.FORWARDED: (Hook.FORWARD, ""),
}  # fmt: skip
"""Where the packets that open connections are met, and on which side `lo` would be."""

Timed = tuple[ServiceTimeout, dict[str, int]]
"""A service, and all time-outs of its connections by nft's names of the states."""


def timed(timeouts: Sequence[ServiceTimeout], facts: HostFacts) -> tuple[Timed, ...]:
    """With the host's own for what a policy leaves alone: an object of nft's would have nft's defaults (K167)."""
    return tuple((each, all_seconds(each.protocol, each.seconds, facts.timeouts)) for each in timeouts)


def timeout_chains(timeouts: Sequence[Timed], priority: int, table: TableFamily) -> tuple[Own, ...]:
    """The own chains with the rules, and the objects that they name, in a table of that family."""
    objects = tuple(_object(n, *each, table) for n, each in enumerate(timeouts, 1))
    rules = {hook: tuple(_rules(timeouts, direction, table)) for direction, (hook, _) in HOOKS.items()}
    hooked = {hook: said for hook, said in rules.items() if said}
    return (Own(Dialect.NFTABLES, table, hooked, priority, Purpose.TIMEOUT, objects=objects),)


def _object(number: int, timeout: ServiceTimeout, seconds: Mapping[str, int], table: TableFamily) -> str:
    content = {
        "family": table.value, "l3proto": table.value, "name": _name(number), "policy": dict(sorted(seconds.items())),
        "protocol": protocol_name(timeout.protocol), "table": OWN_TABLE,
    }  # fmt: skip
    return json.dumps({"ct timeout": content})


def _name(number: int) -> str:
    return f"timeout_{number}"


def _rules(timeouts: Sequence[Timed], direction: Direction, table: TableFamily) -> Iterator[Rule]:
    """The rules at one hook; what goes over `lo` has its entry already, or is nobody's from outside."""
    mine = [(n, each) for n, (each, _) in enumerate(timeouts, 1) if each.direction is direction]
    way = HOOKS[direction][1]
    if mine and way:
        yield Rule((Interface(way, ("lo",)),), (Return(),), PLACE, "", "timeout lo")
    for number, timeout in mine:
        does = NoEffect("ct timeout", f'set "{_name(number)}"')
        for fields in by_family(timeout.families(), partial(opened_by, timeout), inet=table is TableFamily.INET):
            yield from spell(Described(fields, CtState.NEW, {}), does, f"timeout {number}", Dialect.NFTABLES, table)


def opened_by(timeout: ServiceTimeout, family: Family) -> Fields:
    """The fields of the packets that open the service's connections; their state is NEW besides."""
    found: dict[Key, Intervals] = {Field.PROTOCOL: Intervals.of(timeout.protocol), Field.DPORT: timeout.ports}
    ends = ((Field.SRC, timeout.clients), (Field.DST, timeout.servers))
    found |= {field: values & ADDRESSES[family] for field, values in ends if values}
    return found | told_by(timeout.share, family)


def lasting_timers(timeouts: Sequence[ServiceTimeout]) -> Iterator[str]:
    """What the guard does not end (K80)."""
    for timeout in timeouts:
        yield (
            f"{timeout.what}: connections that are opened during the trial keep its time-outs when it expires, until "
            "its rules are taken out: by conntrim rollback, conntrim status --clean, or the next apply"
        )


STATES: dict[str, str] = {
    **{f"tcp {state}": state for state in TIMED[Protocol.TCP]}, "tcp syn_sent2": "syn_sent",
    "udp unreplied": "unreplied", "udp replied": "unreplied", "udp stream": "replied",
}  # fmt: skip
"""States of a census to those of a policy: UDP's first two share a time-out."""


def shortened_by(timeouts: Sequence[ServiceTimeout], census: Census) -> int:
    """Entries that will be gone once the services' connections have the time-outs: those whose last packet is longer
    ago now. It is where the table settles: with arrivals as they are, a state holds as many as come in its time-out."""
    every = ((each, state) for each in census.services for state in each.states)
    return scaled(census, sum(gone_of(each, state, timeouts) for each, state in every))


def gone_of(count: ServiceCount, state: StateCount, timeouts: Sequence[ServiceTimeout]) -> int:
    """Those of a service's entries in one state."""
    seconds = new_seconds(count, state, timeouts)
    return 0 if seconds is None else gone(state, seconds)[0]


def new_seconds(count: ServiceCount, state: StateCount, timeouts: Sequence[ServiceTimeout]) -> int | None:
    """The time-out that a service's entries will have in a state, None where they keep theirs."""
    mine = next((t for t in timeouts if covers_service(t, count)), None)
    return None if mine is None else mine.seconds.get(STATES.get(state.state, ""))


def covers_service(timeout: ServiceTimeout, count: ServiceCount) -> bool:
    """Whether all entries of a service are the time-out's."""
    servers = not timeout.servers or (bool(count.servers) and count.servers <= timeout.servers)
    return touches_service(timeout, count.service) and servers and not (timeout.clients or timeout.share)


def touches_service(timeout: ServiceTimeout, service: Service) -> bool:
    """Whether some may be: whose ends they have is not asked."""
    same = (timeout.direction, timeout.protocol) == (service.direction, service.protocol)
    return same and service.port in timeout.ports
