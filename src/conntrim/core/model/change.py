"""A change of the rules as a value: operations in transactions, one transaction a table.

`core/change` reads it in several ways: what the rules are afterwards, what each program is fed, what takes it back, and
the same under a guard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from conntrim.core.model.ruleset import Base, Dialect, NamedSet, Rule, Table, TableFamily


@dataclass(frozen=True, slots=True)
class TableKey:
    """Which table: each back end has its own of a name (K37)."""

    dialect: Dialect
    family: TableFamily
    name: str

    @classmethod
    def of(cls, table: Table) -> TableKey:
        """That of a table."""
        return cls(table.dialect, table.family, table.name)

    def __str__(self) -> str:
        return f"{self.family} {self.name}"


@dataclass(frozen=True, slots=True)
class AddTable:
    """The transaction's own table, empty. Tables of iptables are there as soon as something is put into them."""


@dataclass(frozen=True, slots=True)
class AddChain:
    """A chain without rules; on a hook where it has a base."""

    name: str
    base: Base | None = None


@dataclass(frozen=True, slots=True)
class AddSet:
    """A set, empty."""

    named: NamedSet


@dataclass(frozen=True, slots=True)
class FillSet:
    """These elements take the place of all that the set holds; each lives for `timeout` where that is told."""

    named: NamedSet
    timeout: str = ""


@dataclass(frozen=True, slots=True)
class AddObject:
    """Any other object of an nft table, as JSON like those of `Table.objects`; or a time-out policy of ctnetlink, as
    nfct's line."""

    text: str


@dataclass(frozen=True, slots=True)
class AppendRule:
    """A rule behind all that the chain holds, or behind a given one, wherever it stands then."""

    chain: str
    rule: Rule
    after: Rule | None = None


@dataclass(frozen=True, slots=True)
class InsertRule:
    """A rule in front of another: of the one at an index, as the dialect's listing counts (an nft rule with a verdict
    map is one), or of a given one, wherever it stands then."""

    chain: str
    rule: Rule
    before: int | Rule


@dataclass(frozen=True, slots=True)
class ReplaceRule:
    """A rule in the place of another."""

    chain: str
    old: Rule
    rule: Rule


@dataclass(frozen=True, slots=True)
class DeleteRule:
    """A rule goes: the first one that is equal to this, or the one with its handle."""

    chain: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class FlushChain:
    """All rules of a chain go."""

    chain: str


@dataclass(frozen=True, slots=True)
class DeleteChain:
    """A chain goes, with its rules."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteSet:
    """A set goes."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """Such an object goes, told by what was added."""

    text: str


@dataclass(frozen=True, slots=True)
class DeleteTable:
    """The transaction's own table goes, with all that is in it."""


PutRule = AppendRule | InsertRule
RuleOperation = PutRule | ReplaceRule | DeleteRule | FlushChain
PartOperation = (
    AddTable | AddChain | AddSet | FillSet | AddObject | DeleteChain | DeleteSet | DeleteObject | DeleteTable
)
Operation = RuleOperation | PartOperation


def anchor_of(operation: Operation) -> Rule | None:
    """The rule that was there before and says where an operation acts; None where a chain, a number or nothing does."""
    match operation:
        case AppendRule(_, _, anchor):
            return anchor
        case InsertRule(_, _, anchor):
            return anchor if isinstance(anchor, Rule) else None
        case ReplaceRule(_, anchor, _) | DeleteRule(_, anchor):
            return anchor
        case FlushChain() | AddTable() | AddChain() | AddSet() | FillSet() | AddObject():
            return None
        case DeleteChain() | DeleteSet() | DeleteObject() | DeleteTable():
            return None
        case _:
            assert_never(operation)


@dataclass(frozen=True, slots=True)
class Transaction:
    """Operations on one table that the kernel does together, or none of them."""

    table: TableKey
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """Transactions, in the order in which they are done."""

    transactions: tuple[Transaction, ...] = ()

    def __add__(self, other: Change) -> Change:
        return Change(self.transactions + other.transactions)
