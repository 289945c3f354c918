"""Whether nat chains do nothing but translate: who does not ask for translations need not walk them.

On a node of Kubernetes they are ten thousand rules, and a node's own services meet few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import assert_never

from conntrim.core.model.address import Family
from conntrim.core.model.fields import Field
from conntrim.core.model.kinds import writes_entry
from conntrim.core.model.marks import SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import (
    Chain,
    CtTemplate,
    End,
    Helper,
    Jump,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Return,
    SetZone,
    Statement,
    Table,
    Verdict,
    asked_fields,
)  # fmt: skip
from conntrim.core.model.service import Direction
from conntrim.core.model.writes import AddToSet, SetField
from conntrim.core.netfilter.hooks import JOURNEYS, Arranged, Kind, Station


def only_translate(arranged: Arranged, family: Family, direction: Direction) -> bool:
    """Whether the nat chains on a direction's way stop nobody, and nobody else asks for a mark that they give."""
    stations = [s for hook in JOURNEYS[direction] for group in arranged.groups[family, hook] for s in group]
    nat = [each for station in stations if station.kind is Kind.NAT for each in station.chains]
    if not all(base.base is None or base.base.policy is Verdict.ACCEPT for _, base in nat):
        return False
    done = [s for table, base in nat if table.kinds(base) - PLAIN for s in _done(table, base) if type(s) not in PLAIN]
    if not all(map(_harmless, done)):
        return False
    others = _all(station for station in stations if station.kind is Kind.CHAIN)
    return not any(type(s) is SetMark for s in done) or not any(map(_asks, others))


PLAIN = frozenset({Jump, Return, Nat, NoEffect})
"""Statements that stop nobody and leave nothing behind, whatever they say: of ten thousands nearly all."""


def _done(table: Table, base: Chain) -> Iterator[Statement]:
    """What the rules do that packets may come to from a chain."""
    for chain in table.below(base):
        for rule in chain.rules:
            yield from rule.statements


def _all(stations: Iterable[Station]) -> list[Chain]:
    """The chains of these stations and all that they jump to, each once."""
    found: dict[tuple[int, int], Chain] = {}
    seen: set[tuple[int, int]] = set()
    for table, base in (each for station in stations for each in station.chains):
        if (id(table), id(base)) not in seen:
            seen.add((id(table), id(base)))
            found |= {(id(table), id(chain)): chain for chain in table.below(base)}
    return list(found.values())


def _harmless(statement: Statement) -> bool:
    """Whether a statement stops nobody, and leaves nothing behind but a mark of the packet's."""
    match statement:
        case Jump() | Return() | Nat() | NoEffect():
            return True
        case SetMark():
            return not statement.of_entry
        case End(verdict=verdict):
            return verdict is Verdict.ACCEPT
        case Notrack() | SetZone() | CtTemplate() | Helper() | SetField() | AddToSet() | OpaqueStatement():
            return False
        case _:
            assert_never(statement)


def _asks(chain: Chain) -> bool:
    return any(
        any(Field.MARK in asked_fields(m) for m in rule.matches) or any(map(writes_entry, rule.statements))
        for rule in chain.rules
    )


def without_nat(arranged: Arranged) -> Arranged:
    """A rule set without its nat chains."""
    return only(arranged, lambda station: station.kind is not Kind.NAT)


def only(arranged: Arranged, wanted: Callable[[Station], bool]) -> Arranged:
    """A rule set with some of its stations."""
    groups = {
        where: tuple(kept for group in found if (kept := tuple(s for s in group if wanted(s))))
        for where, found in arranged.groups.items()
    }
    return replace(arranged, groups=groups)
