"""The hooks in the order in which the kernel calls what hangs there."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import assert_never

from conntrim.core.model.address import Family
from conntrim.core.model.ct_match import CtIn
from conntrim.core.model.fields import Field
from conntrim.core.model.kinds import HANDING
from conntrim.core.model.marks import SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import (
    AnyOf,
    Base,
    Chain,
    CtTemplate,
    Dialect,
    End,
    Helper,
    In,
    InSet,
    Interface,
    Jump,
    Match,
    NoEffect,
    Notrack,
    OpaqueMatch,
    OpaqueStatement,
    Return,
    Rule,
    Ruleset,
    SetZone,
    Statement,
    Table,
    TableFamily,
    XtConntrack,
    asked_fields,
)  # fmt: skip
from conntrim.core.model.service import Direction, Hook
from conntrim.core.model.writes import AddToSet, SetField
from conntrim.core.netfilter.outcome import Outcome

JOURNEYS: dict[Direction, tuple[Hook, ...]] = {
    Direction.INBOUND: (Hook.INGRESS, Hook.PREROUTING, Hook.INPUT),
    Direction.OUTBOUND: (Hook.OUTPUT, Hook.POSTROUTING),
    Direction.FORWARDED: (Hook.INGRESS, Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING),
    Direction.LOOPBACK: (Hook.OUTPUT, Hook.POSTROUTING, Hook.INGRESS, Hook.PREROUTING, Hook.INPUT),
}
"""The hooks that a packet passes, unless a translation changes its way."""

DEFRAG, CONNTRACK, NAT_DST, NAT_SRC = -400, -200, -100, 100
"""The kernel's own priorities (K1)."""

TRACKING = (Hook.PREROUTING, Hook.OUTPUT)
"""Where reassembly and the tracker hang."""

CONFIRMING = (Hook.INPUT, Hook.POSTROUTING)
"""Where, after everything else, a new entry is put into the table."""

NAT_PRIORITY: dict[Hook, int] = {
    Hook.PREROUTING: NAT_DST, Hook.OUTPUT: NAT_DST, Hook.INPUT: NAT_SRC, Hook.POSTROUTING: NAT_SRC,
}  # fmt: skip
"""The NAT core hangs at these hooks and priorities, whatever priority a nat chain names."""

USERS = frozenset({
    "conntrack", "state", "ct", "connmark", "connbytes", "connlimit", "connlabel", "helper", "cluster", "CONNMARK",
    "CONNSECMARK", "CT", "CLUSTERIP", "SYNPROXY", "flow", "synproxy",
})  # fmt: skip
"""Kinds of matches and statements, beside those the model knows, that switch conntrack on (K5)."""

FAMILIES: dict[TableFamily, tuple[Family, ...]] = {
    TableFamily.IP: (Family.IPV4,),
    TableFamily.IP6: (Family.IPV6,),
    TableFamily.INET: (Family.IPV4, Family.IPV6),
    TableFamily.NETDEV: (Family.IPV4, Family.IPV6),
}
"""Which packets a table sees; the other families' tables see none of ours."""


def direction_of(packet: Packet) -> Direction:
    """The direction that the packet's interfaces tell."""
    if "lo" in (packet.iif, packet.oif):
        return Direction.LOOPBACK
    if packet.oif:
        return Direction.FORWARDED if packet.iif else Direction.OUTBOUND
    return Direction.INBOUND


class Kind(StrEnum):
    """What hangs at a hook."""

    CHAIN = "chain"
    DEFRAG = "defrag"
    CONNTRACK = "conntrack"
    NAT = "nat"


@dataclass(frozen=True, slots=True)
class Station:
    """One thing that hangs at a hook; `chains` are a base chain's own, or all nat chains of the hook (K4).

    `late`: in a rule set that stands in the order of its registration, a chain that came after the first nat chain.
    """

    priority: int
    kind: Kind
    chains: tuple[tuple[Table, Chain], ...] = ()
    late: bool = False

    @property
    def name(self) -> str:
        """`ip filter INPUT`; `conntrack`."""
        return " and ".join(f"{t.family} {t.name} {c.name}" for t, c in self.chains) or self.kind


def in_ranks(chains: Iterable[tuple[Table, Chain]]) -> list[list[tuple[Table, Chain]]]:
    """The nat chains of a hook by priority: those of one rank share theirs (K2)."""
    return [list(rank) for _, rank in groupby(chains, key=lambda each: each[1].base and each[1].base.priority)]


Groups = tuple[tuple[Station, ...], ...]
"""The stations of one hook by priority; those of a group share theirs, and their order is not known (K2)."""


@dataclass(frozen=True, slots=True)
class Arranged:
    """A rule set in the order of its hooks, whether it switches conntrack on, for each family, and whether it has
    fragments put together in front of its rules: conntrack does, but not it alone (K158)."""

    groups: Mapping[tuple[Family, Hook], Groups]
    active: Mapping[Family, bool]
    gathers: Mapping[Family, bool]
    nat: Mapping[Family, bool]
    latest_first: bool = False
    """The rule set stands in the order of its registration, so it is known how ties go: the last one runs first."""
    walked: dict[Hashable, Outcome] = field(init=False, compare=False, repr=False, default_factory=dict)
    """What became of packets of dialogues (`dialogue.course`): those that begin alike are walked once up to where they
    part."""


def arrange(ruleset: Ruleset, part_of: Arranged | None = None) -> Arranged:
    """Sort a rule set by hook and priority. `part_of`: what the rules of that one switch on, is on."""
    groups: dict[tuple[Family, Hook], Groups] = {}
    for family in Family:
        hung = [(t, c, c.base) for t, c in _chains(ruleset, family) if c.base is not None and not t.dormant]
        groups |= {(family, hook): _groups(hung, hook) for hook in Hook}
    nat = {family: any(c.base and c.base.type == "nat" for _, c in _chains(ruleset, family)) for family in Family}
    if part_of is not None:
        return Arranged(groups, part_of.active, part_of.gathers, nat)
    active = {family: _active(ruleset, family) for family in Family}
    gathers = {family: active[family] or _gathers(ruleset, family) for family in Family}
    return Arranged(groups, active, gathers, nat)


def sees(table: Table, family: Family) -> bool:
    """Whether packets of a family come to a table."""
    return family in FAMILIES.get(table.family, ())


def tables_of(ruleset: Ruleset, family: Family) -> list[Table]:
    """The tables that packets of a family come to."""
    return [table for table in ruleset.tables if sees(table, family)]


def _chains(ruleset: Ruleset, family: Family) -> Iterator[tuple[Table, Chain]]:
    return ((table, chain) for table in tables_of(ruleset, family) for chain in table.chains)


def _groups(hung: Sequence[tuple[Table, Chain, Base]], hook: Hook) -> Groups:
    here = [(t, c, base) for t, c, base in hung if base.hook is hook]
    first = next((at for at, (_, _, b) in enumerate(hung) if b.type == "nat"), len(hung))
    stations = [
        Station(b.priority, Kind.CHAIN, ((t, c),), at > first)
        for at, (t, c, b) in enumerate(hung) if b.type != "nat" and b.hook is hook
    ]  # fmt: skip
    if hook in TRACKING:
        stations += [Station(DEFRAG, Kind.DEFRAG), Station(CONNTRACK, Kind.CONNTRACK)]
    if hook in NAT_PRIORITY:
        nat = sorted(((b.priority, t, c) for t, c, b in here if b.type == "nat"), key=lambda item: item[0])
        stations.append(Station(NAT_PRIORITY[hook], Kind.NAT, tuple((t, c) for _, t, c in nat)))
    ordered = sorted(stations, key=lambda s: s.priority)
    return tuple(tuple(group) for _, group in groupby(ordered, key=lambda s: s.priority))


def _active(ruleset: Ruleset, family: Family) -> bool:
    return any(chain.those(_uses) for _, chain in _chains(ruleset, family))


def _gathers(ruleset: Ruleset, family: Family) -> bool:
    """K158: a transparent proxy and iptables' `-m socket`, unlike nft's, need whole packets."""
    for table, chain in _chains(ruleset, family):
        socket = () if table.dialect is Dialect.NFTABLES else ("socket",)
        for rule in chain.rules:
            kinds = {m.kind for m in rule.matches if isinstance(m, OpaqueMatch) and m.kind in socket}
            kinds |= {s.kind for s in rule.statements if isinstance(s, OpaqueStatement) and s.kind in HANDING}
            if kinds:
                return True
    return False


def _uses(rule: Rule) -> bool:
    """K5: `CT --notrack` by itself is no user."""
    return any(_asks(m) for m in rule.matches) or any(_tracks(s) for s in rule.statements)


def _asks(match: Match) -> bool:
    match match:
        case OpaqueMatch(kind=kind):
            return bool(kind) and kind.split()[0] in USERS
        case CtIn():
            return True
        case In() | Interface() | XtConntrack() | InSet() | AnyOf():
            return Field.CT_STATE in asked_fields(match)
        case _:
            assert_never(match)


def _tracks(statement: Statement) -> bool:
    match statement:
        case OpaqueStatement() | NoEffect():
            return bool(statement.kind) and statement.kind.split()[0] in USERS
        case SetMark():
            return statement.of_entry
        case SetZone() | CtTemplate() | Helper() | Nat():
            return True
        case End() | Jump() | Return() | Notrack() | SetField() | AddToSet():
            return False
    assert_never(statement)
