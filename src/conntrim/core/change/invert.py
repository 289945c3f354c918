"""What takes a change back: last in, first out, each rule by what it says."""

from __future__ import annotations

from collections.abc import Iterator
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
    Transaction,
)


def invert(change: Change) -> Change:
    """Done after the change, it leaves the rules as they were before it.

    ValueError for a change that takes away: what stood there is not in it.
    """
    return Change(tuple(Transaction(t.table, tuple(_inverted(t))) for t in reversed(change.transactions)))


def _inverted(transaction: Transaction) -> Iterator[Operation]:
    """What goes as a whole needs nothing taken out of it."""
    if AddTable() in transaction.operations:
        yield DeleteTable()
        return
    chains = {op.name for op in transaction.operations if isinstance(op, AddChain)}
    sets = {op.named.name for op in transaction.operations if isinstance(op, AddSet)}
    for operation in reversed(transaction.operations):
        in_chain = isinstance(operation, PutRule) and operation.chain in chains
        if not (in_chain or (isinstance(operation, FillSet) and operation.named.name in sets)):
            yield _opposite(operation)


def _opposite(operation: Operation) -> Operation:
    match operation:
        case AddTable():
            return DeleteTable()
        case AddChain(name):
            return DeleteChain(name)
        case AddSet(named):
            return DeleteSet(named.name)
        case FillSet(named):
            return FillSet(replace(named, elements=()))
        case AddObject(text):
            return DeleteObject(text)
        case AppendRule(chain, rule) | InsertRule(chain, rule):
            return DeleteRule(chain, rule)
        case ReplaceRule(chain, old, rule):
            return ReplaceRule(chain, rule, old)
        case DeleteRule() | FlushChain() | DeleteChain() | DeleteSet() | DeleteObject() | DeleteTable():
            raise ValueError(f"what it took away is not told by {operation}")
        case _:
            assert_never(operation)
