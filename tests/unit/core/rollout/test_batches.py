"""Batches read again: the rules that they put into chains are those of the operations that they were written from."""

from __future__ import annotations

import pytest

from conntrim.core.change.apply import apply
from conntrim.core.change.emit import emit, program
from conntrim.core.change.guard import guarded, kept
from conntrim.core.change.invert import invert
from conntrim.core.model.change import Change, InsertRule, PutRule
from conntrim.core.model.plan import Batch
from conntrim.core.model.ruleset import Dialect, Ruleset
from conntrim.core.rollout.batches import puts, table_of
from tests.unit.core.change.test_change import PLANS

Told = tuple[str, str, int | None, str]


def meant(change: Change) -> list[Told]:
    """Place, own or not, index and comment of each rule that the operations put somewhere."""
    found: list[Told] = []
    for transaction in change.transactions:
        key = transaction.table
        table = str(key) if key.dialect is Dialect.NFTABLES else key.name
        for op in transaction.operations:
            if isinstance(op, PutRule):
                index = op.before if isinstance(op, InsertRule) and isinstance(op.before, int) else None
                found.append((f"{program(key)} {table} {op.chain}", op.rule.comment, index, op.chain))
    return found


def read(change: Change, before: Ruleset) -> list[Told]:
    """The same, from the texts."""
    return [(put.place, put.comment, put.behind, put.chain) for put in puts(emit(change, before))]


@pytest.mark.parametrize("name", PLANS)
def test_what_is_read_is_what_was_written(name: str) -> None:
    """On trial, kept and without a guard; what only takes out puts nothing anywhere."""
    plain, before = PLANS[name][0], PLANS[name][1]()
    trial = guarded(plain, {6})
    on_trial = apply(trial, before)
    assert meant(plain) == read(plain, before)
    assert meant(trial) == read(trial, before)
    assert meant(kept(plain, trial)) == read(kept(plain, trial), on_trial)
    assert [] == read(invert(trial), on_trial)


@pytest.mark.parametrize("name", PLANS)
def test_a_batch_tells_its_table(name: str) -> None:
    """Each batch is about one table, and says which in its first line."""
    plain, before = PLANS[name][0], PLANS[name][1]()
    tables = [t.table.name for t in plain.transactions]
    assert tables == [table_of(batch).split()[-1] for batch in emit(plain, before)]


def test_texts_of_earlier_releases_are_read() -> None:
    """Rules that were replaced in place, inserted without a number, or quoted with signs that mean something."""
    texts = (
        Batch("nft", 'replace rule inet f c handle @HANDLE inet f c "a b"@ accept comment "a"\n'),
        Batch("iptables-restore", '*raw\n-I OUTPUT -m comment --comment "x \\"y\\"" -j ACCEPT\nCOMMIT\n'),
    )
    assert [("nft inet f c", "a", None), ("iptables-restore raw OUTPUT", 'x "y"', 0)] == [
        (put.place, put.comment, put.behind) for put in puts(texts)
    ]
