"""A change as the batches that the kernel's tools are fed, each in the words of its dialect."""

from __future__ import annotations

from conntrim.core.change.apply import Draft, apply
from conntrim.core.change.nft import nft_lines
from conntrim.core.change.xt import policy_lines, xt_lines
from conntrim.core.model.change import Change, TableKey, Transaction
from conntrim.core.model.plan import POLICIES, Batch
from conntrim.core.model.ruleset import XT_HOOKS, Dialect, Ruleset, TableFamily

PROGRAMS: dict[tuple[Dialect, TableFamily], str] = {
    (Dialect.IPTABLES_NFT, TableFamily.IP): "iptables-nft-restore",
    (Dialect.IPTABLES_NFT, TableFamily.IP6): "ip6tables-nft-restore",
    (Dialect.IPTABLES_LEGACY, TableFamily.IP): "iptables-legacy-restore",
    (Dialect.IPTABLES_LEGACY, TableFamily.IP6): "ip6tables-legacy-restore",
}
"""The restore programs by back end: `iptables-restore` alone may be either (K37)."""


def emit(change: Change, before: Ruleset, *, old: bool = False) -> tuple[Batch, ...]:
    """A batch for each transaction; `before` is what the rules are before it, `old` for the words of the 2.6 era.

    NotExpressible for what the dialect has no words for, NotThereError where the rules are not those it is meant for.
    """
    batches = []
    for transaction in change.transactions:
        batches.append(Batch(program(transaction.table, old), _text(transaction, before, old)))
        before = apply(Change((transaction,)), before)
    return tuple(batches)


def program(table: TableKey, old: bool = False) -> str:
    """What loads rules into a table. The 2.6 era has one back end and no name for it."""
    if table.dialect is Dialect.NFTABLES:
        return "nft"
    if table.name == POLICIES:
        return POLICIES
    name = PROGRAMS[table.dialect, table.family]
    return name.replace("-nft-", "-").replace("-legacy-", "-") if old else name


def _text(transaction: Transaction, before: Ruleset, old: bool) -> str:
    draft, lines = Draft.of(before, transaction.table), list[str]()
    for operation in transaction.operations:
        if transaction.table.dialect is Dialect.NFTABLES:
            lines += nft_lines(operation, draft)
        elif transaction.table.name == POLICIES:
            lines += policy_lines(operation)
        else:
            lines += xt_lines(operation, draft, old)
        draft.do(operation)
    if transaction.table.name in XT_HOOKS and transaction.table.dialect is not Dialect.NFTABLES:
        lines = [f"*{transaction.table.name}", *lines, "COMMIT"]
    return "\n".join(lines) + "\n"
