"""The rules of our own chains: what untracks, what limits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import count

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.plan import OWN_HOOKS, Purpose
from conntrim.core.model.policy import ClientLimit, Policy
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Dialect, NoEffect, Notrack, Return, Rule, Ruleset, Statement, TableFamily
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.plan.changes import FAMILY_TABLES, RAW, Own
from conntrim.core.plan.described import Described
from conntrim.core.plan.legs import Leg
from conntrim.core.plan.limits import BEHIND, limit_chains
from conntrim.core.plan.spelling import spell
from conntrim.core.plan.timed import Timed, timeout_chains
from conntrim.core.plan.timed_xt import timeout_chains_xt

HOOKS = OWN_HOOKS[Purpose.UNTRACK]
COUNTER = NoEffect("counter", "")
"""What iptables does for every rule: by it `apply` knows that a probe's packets went untracked."""


def owns_of(
    base: Ruleset,
    dialect: Dialect,
    raws: tuple[Own, ...],
    limits: Sequence[ClientLimit],
    timeouts: Sequence[Timed],
    *,
    nft: bool = True,
) -> tuple[tuple[Own, ...], tuple[Own, ...], tuple[Own, ...]]:
    """The own chains of what goes untracked, of limits, and of time-outs; `nft`: the host has it, whatever its rules
    are."""
    hooks = OWN_HOOKS[Purpose.TIMEOUT]  # those of limits among them
    behind = free_priority(base, BEHIND, 1, hooks)
    later = free_priority(base, behind + 1, 1, hooks)
    waits = tuple[Own, ...]()
    if timeouts and not (nft or dialect is Dialect.NFTABLES):
        waits = timeout_chains_xt(timeouts, dialect)
    elif timeouts:
        shared = dialect is Dialect.NFTABLES and (raws or limits)  # those stand in the table of both families
        table = TableFamily.INET if shared else _table_of(timeouts, base)
        waits = timeout_chains(timeouts, later, table)
    return raws, limit_chains(limits, dialect, behind), waits


def _table_of(timeouts: Sequence[Timed], base: Ruleset) -> TableFamily:
    """For both families, or for the one that is tracked: a table of both would begin to track the other (K162)."""
    tracked = [family for family, active in arrange(base).active.items() if active]
    alone = len(tracked) == 1 and all(timeout.families() == tuple(tracked) for timeout, _ in timeouts)
    return FAMILY_TABLES[tracked[0]] if alone else TableFamily.INET


def free_priority(ruleset: Ruleset, start: int = RAW, step: int = -1, hooks: Collection[Hook] = HOOKS) -> int:
    """A priority, or the next where no chain hangs: of two at one priority nobody knows which is first (K2). Before
    raw's for what untracks."""
    taken = {c.base.priority for t in ruleset.tables for c in t.chains if c.base and c.base.hook in hooks}
    return next(p for p in count(start, step) if p not in taken)


def raws_of(legs: Sequence[Leg], dialect: Dialect, priority: int = RAW, tracked: Sequence[Leg] = ()) -> tuple[Own, ...]:
    """The untracking rules, behind those that leave `tracked` alone: for iptables one set a family, for nft one table
    of family inet."""
    tables = [TableFamily.INET] if dialect is Dialect.NFTABLES else list(FAMILY_TABLES.values())
    found = []
    for family in tables:
        wanted = [(leg, Return()) for leg in tracked] + [(leg, Notrack()) for leg in legs]
        mine = [(leg, what) for leg, what in wanted if family in (TableFamily.INET, FAMILY_TABLES[leg.family])]
        rules = {
            hook: tuple(r for leg, what in mine if leg.hook is hook for r in _raw_rules(leg, what, dialect, family))
            for hook in HOOKS
        }
        if mine:
            found.append(Own(dialect, family, rules, priority))
    return tuple(found)


def _raw_rules(leg: Leg, what: Statement, dialect: Dialect, family: TableFamily) -> list[Rule]:
    interfaces = {"out": "lo"} if leg.loopback else {}
    told = Described(leg.fields, CtState.UNTRACKED, interfaces)
    why = "tracked" if leg.service.keep_lo_tracked else "translated"
    comment = leg.label if isinstance(what, Notrack) else f"{leg.label} {why}"
    rules = spell(told, what, comment, dialect, family, tracked=False)
    counts = isinstance(what, Notrack) and dialect is Dialect.NFTABLES
    return [replace(rule, statements=(COUNTER, what)) for rule in rules] if counts else rules


def protocols_of(policy: Policy) -> frozenset[int]:
    """The protocols of the packets that a policy's rules are about."""
    found: set[int] = {u.protocol for u in policy.untrack}
    found |= {each.protocol for each in policy.service_timeouts}
    for limit in policy.limits:
        found |= set(map(int, Protocol)) if limit.protocol is None else {limit.protocol}
    return frozenset(found)
