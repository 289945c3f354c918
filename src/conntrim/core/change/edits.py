"""The edits that findings advise, as one change: done to a rule set they show what is left to find."""

from __future__ import annotations

from collections.abc import Iterable

from conntrim.core.model.change import (
    AddChain,
    Change,
    DeleteRule,
    ReplaceRule,
    Transaction,
)
from conntrim.core.model.finding import Edit

ORDER = (ReplaceRule, DeleteRule)
"""What others may stand beside goes last; a rule that goes is not replaced."""


def change_of(edits: Iterable[Edit]) -> Change:
    """All of them, each once; of two replacements of a rule the later one counts."""
    wanted = {_key(edit): edit for edit in sorted(edits, key=_rank)}
    return Change(tuple(Transaction(edit.table, (edit.operation,)) for edit in sorted(wanted.values(), key=_rank)))


def _rank(edit: Edit) -> int:
    if isinstance(edit.operation, AddChain):
        return -1
    return ORDER.index(type(edit.operation)) + 1 if isinstance(edit.operation, ORDER) else 0


def _key(edit: Edit) -> tuple[object, ...]:
    return edit.table, edit.place, None if isinstance(edit.operation, ORDER) else edit.operation
