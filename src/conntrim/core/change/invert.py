"""What takes a change back: last in, first out, each rule by what it says."""

from __future__ import annotations

from collections.abc import Iterator
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
    own = {op.name for op in transaction.operations if isinstance(op, AddChain)}
    for operation in reversed(transaction.operations):
        if not (isinstance(operation, PutRule) and operation.chain in own):
            yield _opposite(operation)


def _opposite(operation: Operation) -> Operation:
    match operation:
        case AddTable():
            return DeleteTable()
        case AddChain(name):
            return DeleteChain(name)
        case AddSet(named):
            return DeleteSet(named.name)
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
