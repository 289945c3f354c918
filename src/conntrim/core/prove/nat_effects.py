"""Whether nat chains do nothing but translate: who does not ask for translations need not walk them.

On a node of Kubernetes they are ten thousand rules, and a node's own services meet few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import assert_never

from conntrim.core.model.address import Family
from conntrim.core.model.kinds import writes_entry
from conntrim.core.model.marks import SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import (
    Chain,
    CtTemplate,
    End,
    Field,
    Helper,
    Jump,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Return,
    SetZone,
    Statement,
    Verdict,
    asked_fields,
)  # fmt: skip
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import JOURNEYS, Arranged, Kind, Station


def only_translate(arranged: Arranged, family: Family, direction: Direction) -> bool:
    """Whether the nat chains on a direction's way stop nobody, and nobody else asks for a mark that they give."""
    stations = [s for hook in JOURNEYS[direction] for group in arranged.groups[family, hook] for s in group]
    nat = _all(station for station in stations if station.kind is Kind.NAT)
    if not all(map(_lets_pass, nat)):
        return False
    others = _all(station for station in stations if station.kind is Kind.CHAIN)
    return not any(map(_marks, nat)) or not any(map(_asks, others))


def _all(stations: Iterable[Station]) -> list[Chain]:
    """The chains of these stations and all that they jump to, each once."""
    found: dict[tuple[int, int], Chain] = {}
    seen: set[tuple[int, int]] = set()
    for table, base in (each for station in stations for each in station.chains):
        if (id(table), id(base)) not in seen:
            seen.add((id(table), id(base)))
            found |= {(id(table), id(chain)): chain for chain in table.below(base)}
    return list(found.values())


def _lets_pass(chain: Chain) -> bool:
    policy = chain.base is None or chain.base.policy is Verdict.ACCEPT
    return policy and all(map(_harmless, (s for rule in chain.rules for s in rule.statements)))


def _harmless(statement: Statement) -> bool:
    """Whether a statement stops nobody, and leaves nothing behind but a mark of the packet's."""
    match statement:
        case Jump() | Return() | Nat() | NoEffect():
            return True
        case SetMark():
            return not statement.of_entry
        case End(verdict=verdict):
            return verdict is Verdict.ACCEPT
        case Notrack() | SetZone() | CtTemplate() | Helper() | OpaqueStatement():
            return False
        case _:
            assert_never(statement)


def _marks(chain: Chain) -> bool:
    return any(type(s) is SetMark for rule in chain.rules for s in rule.statements)


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
