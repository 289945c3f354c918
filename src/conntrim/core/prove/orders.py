"""Chains that share a hook and a priority run in an order that no listing shows (K2): each order is looked at.

An order is told by moving one of two chains a step aside, where nothing else hangs. Both rule sets are moved alike: it
is one kernel. Ties that cannot be told so stay as they are, and are said to be open (reachability.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from conntrim.core.model.ruleset import Chain, End, Ruleset, Table, Verdict
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.hooks import DEFRAG, Groups, Kind, Station, arrange, in_ranks
from conntrim.core.prove.chains import changes

MOST_TIES = 2
"""Ties of which every combination of orders is looked at; with more, nothing is decided about them."""

Pair = tuple[Ruleset, Ruleset]


@dataclass(frozen=True, slots=True)
class Tie:
    """A chain that shares its hook and priority with `other`; by its table and name, as two rule sets share it."""

    table: tuple[str, str, str]
    chain: str
    priority: int
    other: str


def orders(rulesets: Pair) -> Iterator[tuple[Pair, str]]:
    """Both rule sets in every order that they may run in, and that order in words (empty where nothing is tied)."""
    ties = list(dict.fromkeys(t for ruleset in rulesets for t in _ties(ruleset)))
    if not ties or len(ties) > MOST_TIES:
        yield rulesets, ""
        return
    for steps in product((-1, 1), repeat=len(ties)):
        before, after = rulesets
        for tie, step in zip(ties, steps, strict=True):
            before, after = _moved(before, tie, step), _moved(after, tie, step)
        words = (
            f"{t.chain} runs {'before' if s < 0 else 'behind'} {t.other}" for t, s in zip(ties, steps, strict=True)
        )
        yield (before, after), " and ".join(words)


def _ties(ruleset: Ruleset) -> Iterator[Tie]:
    for (_, hook), groups in arrange(ruleset).groups.items():
        yield from (tie for group in _movable(groups) if _matters(group) for tie in _tie(group))
        yield from (tie for group in _movable(_ranks(groups)) if _matters_to_nat(hook, group) for tie in _tie(group))


def _movable(groups: Groups) -> Iterator[tuple[Station, ...]]:
    """Where two share a priority and nothing hangs beside it."""
    taken = {station.priority for group in groups for station in group}
    for group in map(acting, groups):
        if len(group) == 2 and not {group[0].priority - 1, group[0].priority + 1} & taken:
            yield group


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


def _tie(group: tuple[Station, ...]) -> Iterator[Tie]:
    """The one of two that can be moved: a chain of an operator's, not the kernel's own station."""
    mine = next((s for s in group if s.kind is Kind.CHAIN), None)
    if mine is not None:
        ((table, chain),) = mine.chains
        other = next(s for s in group if s is not mine)
        yield Tie((table.dialect, table.family, table.name), chain.name, mine.priority, other.name)


def _matters(group: tuple[Station, ...]) -> bool:
    """Two chains that only let pass and stop do so in any order; so does one at the tracker's reassembly."""
    if any(s.kind is not Kind.CHAIN for s in group):
        return group[0].priority != DEFRAG
    return any(_has_effects(table) for s in group for table, _ in s.chains)


def _matters_to_nat(hook: Hook, group: tuple[Station, ...]) -> bool:
    """Of chains that only give packets sources it is no matter which one does."""
    chains = [below for s in group for table, chain in s.chains for below in table.below(chain)]
    ends = {s.verdict for chain in chains for rule in chain.rules for s in rule.statements if isinstance(s, End)}
    ends |= {chain.base.policy for chain in chains if chain.base is not None}
    return hook in (Hook.PREROUTING, Hook.OUTPUT) or ends != {Verdict.ACCEPT}


def _has_effects(table: Table) -> bool:
    statements = (s for rule in table.rules() for s in rule.statements)
    return any(map(changes, statements))


def _moved(ruleset: Ruleset, tie: Tie, step: int) -> Ruleset:
    def chain_of(chain: Chain) -> Chain:
        if chain.name != tie.chain or chain.base is None or chain.base.priority != tie.priority:
            return chain
        return replace(chain, base=replace(chain.base, priority=tie.priority + step))

    return replace(ruleset, tables=tuple(
        replace(t, chains=tuple(map(chain_of, t.chains))) if (t.dialect, t.family, t.name) == tie.table else t
        for t in ruleset.tables
    ))  # fmt: skip
