"""Chains that share a hook and a priority run in an order that no listing shows (K2): each order is looked at.

An order is told by moving the tied chains apart, to priorities beside their own where nothing else hangs. Both rule
sets are moved alike: it is one kernel. Ties that cannot be told so stay as they are, and are said to be open
(reachability.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product
from math import factorial, prod

from conntrim.core.model.ruleset import Chain, End, Ruleset, Table, Verdict
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.hooks import DEFRAG, Groups, Kind, Station, arrange, in_ranks
from conntrim.core.prove.chains import changes

MOST_ORDERS = 12
"""Orders that are looked at: those of three tied chains and of two others, say; with more, nothing is decided."""

Pair = tuple[Ruleset, Ruleset]

Key = tuple[str, str, str, str]
"""A chain by its table (dialect, family, name) and its name, as two rule sets share it."""


@dataclass(frozen=True, slots=True)
class Tied:
    """What runs at one hook and priority. `chain` is None where it is the kernel's own, which stays where it is."""

    name: str
    chain: Key | None


Ties = dict[tuple[Hook, int, bool], dict[Tied, None]]
"""Who is tied, by hook, priority and whether it is among nat chains: these have an order of their own (K4)."""


def orders(rulesets: Pair) -> Iterator[tuple[Pair, str]]:
    """Both rule sets in every order that they may run in, and that order in words (empty where nothing is tied)."""
    ties: Ties = {}
    taken: dict[tuple[Hook, bool], set[int]] = {}
    for ruleset in rulesets:
        for hook, among_nat, groups in _hung(ruleset):
            taken.setdefault((hook, among_nat), set()).update(s.priority for group in groups for s in group)
            for group in map(acting, groups):
                if not (_matters_to_nat(group, hook) if among_nat else _matters(group)):
                    continue
                ties.setdefault((hook, group[0].priority, among_nat), {}).update(dict.fromkeys(map(_tied, group)))
    told = {key: list(tied) for key, tied in ties.items() if _has_room(key[1], len(tied), taken[key[0], key[2]])}
    if not told or prod(factorial(len(tied)) for tied in told.values()) > MOST_ORDERS:
        yield rulesets, ""
        return
    for chosen in product(*(permutations(tied) for tied in told.values())):
        moves = dict(move for (_, at, _), order in zip(told, chosen, strict=True) for move in _moves(order, at))
        before, after = rulesets
        yield (_moved(before, moves), _moved(after, moves)), " and ".join(map(_words, chosen))


def _hung(ruleset: Ruleset) -> Iterator[tuple[Hook, bool, Groups]]:
    """What hangs at each hook, by priority, and then its nat chains by those they name."""
    for (_, hook), groups in arrange(ruleset).groups.items():
        yield hook, False, groups
        yield hook, True, _ranks(groups)


def _ranks(groups: Groups) -> Groups:
    """The nat chains of a hook as stations of their own: among themselves they run by the priorities they name (K4)."""
    nat = (station for group in groups for station in group if station.kind is Kind.NAT)
    return tuple(tuple(map(_alone, rank)) for station in nat for rank in in_ranks(station.chains))


def _alone(hung: tuple[Table, Chain]) -> Station:
    _, chain = hung
    return Station(chain.base.priority if chain.base else 0, Kind.CHAIN, (hung,))


def acting(group: tuple[Station, ...]) -> tuple[Station, ...]:
    """Without chains that do nothing."""
    return tuple(s for s in group if s.kind is not Kind.CHAIN or any(map(_does, (c for _, c in s.chains))))


def _does(chain: Chain) -> bool:
    return bool(chain.rules) or (chain.base is not None and chain.base.policy is not Verdict.ACCEPT)


def _tied(station: Station) -> Tied:
    if station.kind is not Kind.CHAIN:
        return Tied(station.name, None)
    ((table, chain),) = station.chains
    return Tied(station.name, _key(table, chain))


def _key(table: Table, chain: Chain) -> Key:
    return table.dialect, table.family, table.name, chain.name


def _has_room(priority: int, many: int, taken: set[int]) -> bool:
    """Whether nothing hangs where they are moved to."""
    return not (set(range(priority - many + 1, priority + many)) - {priority}) & taken


def _moves(order: Sequence[Tied], priority: int) -> Iterator[tuple[tuple[Key, int], int]]:
    """Which chain of a priority goes to which, so that they run in this order; one stays, the kernel's own if any."""
    stays = next((at for at, each in enumerate(order) if each.chain is None), None)
    if stays is None:
        stays = order.index(max(order, key=lambda each: each.name))
    for at, each in enumerate(order):
        if each.chain is not None:
            yield (each.chain, priority), priority + at - stays


def _words(order: Sequence[Tied]) -> str:
    first, *others = (each.name for each in order)
    return f"{first} runs before {', then '.join(others)}"


def _matters(group: tuple[Station, ...]) -> bool:
    """Chains that only let pass and stop do so in any order; so do those at the tracker's reassembly."""
    if len(group) < 2:
        return False
    if any(s.kind is not Kind.CHAIN for s in group):
        return group[0].priority != DEFRAG
    return any(_has_effects(table) for s in group for table, _ in s.chains)


def _matters_to_nat(group: tuple[Station, ...], hook: Hook) -> bool:
    """Of chains that only give packets sources it is no matter which one does."""
    if len(group) < 2:
        return False
    chains = [below for s in group for table, chain in s.chains for below in table.below(chain)]
    ends = {s.verdict for chain in chains for rule in chain.rules for s in rule.statements if isinstance(s, End)}
    ends |= {chain.base.policy for chain in chains if chain.base is not None}
    return hook in (Hook.PREROUTING, Hook.OUTPUT) or ends != {Verdict.ACCEPT}


def _has_effects(table: Table) -> bool:
    statements = (s for rule in table.rules() for s in rule.statements)
    return any(map(changes, statements))


def _moved(ruleset: Ruleset, to: Mapping[tuple[Key, int], int]) -> Ruleset:
    def chain_of(table: Table, chain: Chain) -> Chain:
        if chain.base is None:
            return chain
        at = to.get((_key(table, chain), chain.base.priority), chain.base.priority)
        return replace(chain, base=replace(chain.base, priority=at))

    tables = (replace(t, chains=tuple(chain_of(t, c) for c in t.chains)) for t in ruleset.tables)
    return replace(ruleset, tables=tuple(tables))
