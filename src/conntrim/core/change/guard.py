"""The trial of a change: the same operations, every rule that packets meet first under a condition that ends by itself.

Each dialect has its own guard: iptables compares the clock, nft looks into a set whose elements time out (K39).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import assert_never

from conntrim.core.model.change import (
    AddChain,
    AddObject,
    AddSet,
    AddTable,
    AppendRule,
    Change,
    DeleteChain,
    DeleteObject,
    DeleteRule,
    DeleteSet,
    DeleteTable,
    FillSet,
    FlushChain,
    InsertRule,
    Operation,
    PutRule,
    ReplaceRule,
    TableKey,
    Transaction,
)
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import ARMED, CHAIN_PREFIX, DEADLINE, POLICIES, SECONDS, TRIAL_SUFFIX, slot_of_table
from conntrim.core.model.ruleset import Dialect, InSet, Match, NamedSet, OpaqueMatch, Rule, Verdict

XT_GUARD = OpaqueMatch("time", f"--datestop {DEADLINE}")
NFT_GUARD = InSet(ARMED, (Field.PROTOCOL, Field.PROTOCOL))
"""Twice the protocol: behind `meta l4proto @set` nft 1.1 takes no port or flag of a protocol any more (K141)."""
GUARDS: dict[Dialect, Match] = {
    Dialect.IPTABLES_NFT: XT_GUARD,
    Dialect.IPTABLES_LEGACY: XT_GUARD,
    Dialect.NFTABLES: NFT_GUARD,
}
"""What a trial's rule matches besides, by dialect."""
ERRORS = (1, 58)
"""ICMP's protocols: errors about untracked packets need accepts in chains of others."""


def is_own(table: TableKey, chain: str) -> bool:
    """Whether a chain is ours by its name, or by that of its table."""
    if table.dialect is Dialect.NFTABLES:
        return is_own_table(table)
    return chain.startswith(CHAIN_PREFIX)


def is_own_table(table: TableKey) -> bool:
    """Whether it is the nft table of a plan."""
    return table.dialect is Dialect.NFTABLES and slot_of_table(table.family, table.name) > 0


def guarded(change: Change, protocols: Collection[int], *, old: bool = False) -> Change:
    """The trial of a change that only adds; `protocols` are those of the packets that it is about.

    nft's own table is armed last, by filling a set: sets with intervals that come with a rule hold nothing yet when
    the rule begins to act (K104). `old`: the 2.6 era has no guard in the kernel, only comments tell a trial's rules.
    """
    own = [t.table for t in change.transactions if is_own_table(t.table)]
    arming = [Transaction(table, (FillSet(_armed(protocols), f"{SECONDS}s"),)) for table in own]
    return Change((*(_guarded(t, protocols, old) for t in change.transactions), *arming))


def _guarded(transaction: Transaction, protocols: Collection[int], old: bool) -> Transaction:
    table, met = transaction.table, _met(transaction)
    done: list[Operation] = [
        replace(op, rule=_with_guard(op.rule, table.dialect, old)) if isinstance(op, PutRule) and op in met else op
        for op in transaction.operations
    ]
    if table.dialect is Dialect.NFTABLES:
        armed = _armed({*protocols, *ERRORS})
        if is_own_table(table):
            done.insert(int(done[0] == AddTable()), AddSet(armed))
        else:
            done[:0] = [AddSet(armed), FillSet(armed, f"{SECONDS}s")]
    return Transaction(table, tuple(done))


def _met(transaction: Transaction) -> list[PutRule]:
    """The rules that packets meet without being sent there by one of the change's own."""
    inner = _inner(transaction)
    return [op for op in transaction.operations if isinstance(op, PutRule) and op.chain not in inner]


def _inner(transaction: Transaction) -> frozenset[str]:
    """The chains that it adds and that are on no hook."""
    return frozenset(op.name for op in transaction.operations if isinstance(op, AddChain) and op.base is None)


def _with_guard(rule: Rule, dialect: Dialect, old: bool) -> Rule:
    matches = rule.matches if old else (GUARDS[dialect], *rule.matches)
    return replace(rule, matches=matches, comment=rule.comment + TRIAL_SUFFIX)


def _armed(protocols: Collection[int]) -> NamedSet:
    elements = tuple((Intervals.of(number),) * 2 for number in sorted(protocols))
    return NamedSet(ARMED, elements, kind="inet_proto . inet_proto", dynamic=True, declaration="flags timeout")


def kept(change: Change, trial: Change) -> Change:
    """From the trial of a change to the change itself: plain rules take the places of the guarded ones.

    nft's guards lose their end first: from then on nothing falls back. Plain rules come in beside the guarded ones, and
    these go only after that: for a moment the plain ones may match nothing (K104).
    """
    both = zip(change.transactions, trial.transactions, strict=False)  # the trial's last ones only arm it
    pairs = [(plain, tried) for plain, tried in both if plain.table.name != POLICIES]
    nft = [(plain, tried) for plain, tried in pairs if plain.table.dialect is Dialect.NFTABLES]
    return Change(
        (
            *(Transaction(op_table, (FillSet(named),)) for op_table, named in _filled(trial)),
            *(Transaction(plain.table, tuple(_placed(plain, tried))) for plain, tried in pairs),
            *(Transaction(plain.table, tuple(_cleared(tried))) for plain, tried in nft),
        )
    )


def _filled(trial: Change) -> Iterator[tuple[TableKey, NamedSet]]:
    return ((t.table, op.named) for t in trial.transactions for op in t.operations if isinstance(op, FillSet))


def _placed(plain: Transaction, trial: Transaction) -> Iterator[Operation]:
    came, tried = _met(plain), _met(trial)
    if plain.table.dialect is not Dialect.NFTABLES:
        yield from (DeleteRule(op.chain, op.rule) for op in reversed(tried))
        yield from came
    else:
        pairs = zip(reversed(came), reversed(tried), strict=True)
        yield from (InsertRule(op.chain, op.rule, guarded.rule) for op, guarded in pairs)


def _cleared(trial: Transaction) -> Iterator[Operation]:
    yield from (DeleteRule(op.chain, op.rule) for op in reversed(_met(trial)))
    yield DeleteSet(ARMED)


def lasting(change: Change) -> Iterator[tuple[TableKey, Operation]]:
    """The operations of a trial that take something away, or that packets still meet once the guard has expired."""
    for transaction in change.transactions:
        inner = frozenset(name for name in _inner(transaction) if is_own(transaction.table, name))
        yield from ((transaction.table, op) for op in transaction.operations if not _ends(op, transaction.table, inner))


def _ends(operation: Operation, table: TableKey, inner: Collection[str]) -> bool:
    match operation:
        case AddTable() | AddObject():
            return is_own_table(table) or table.name == POLICIES
        case AddChain(name, base):
            return is_own(table, name) and (base is None or base.policy is Verdict.ACCEPT)
        case AddSet(named) | FillSet(named):
            return named.name == ARMED or is_own_table(table)
        case AppendRule(chain, rule) | InsertRule(chain, rule):
            return chain in inner or GUARDS[table.dialect] in rule.matches
        case ReplaceRule() | DeleteRule() | FlushChain() | DeleteChain() | DeleteSet() | DeleteObject() | DeleteTable():
            return False
        case _:
            assert_never(operation)
