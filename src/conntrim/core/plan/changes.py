"""A plan's change of the rules, and the four ways in which it is carried out.

A trial only adds. Each rule that it puts into a chain of the operator's carries the guard; own rules stand in own
chains that are reached through one guarded jump. Accepts come before the raw rules that need them, and go after.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from conntrim.core.change.apply import apply, outer
from conntrim.core.change.emit import emit
from conntrim.core.change.guard import guarded, kept
from conntrim.core.change.invert import invert
from conntrim.core.dialect.names import is_name
from conntrim.core.model.address import Family
from conntrim.core.model.change import (
    AddChain,
    AddTable,
    AppendRule,
    Change,
    InsertRule,
    Operation,
    TableKey,
    Transaction,
)
from conntrim.core.model.errors import InputError
from conntrim.core.model.plan import CHAIN_PREFIX, OWN_TABLE, Batch, comment_of
from conntrim.core.model.ruleset import XT_HOOKS, Base, Dialect, Jump, Rule, Ruleset, Table, TableFamily
from conntrim.core.model.service import Hook
from conntrim.core.plan.admission import Addition
from conntrim.core.plan.spelling import PLACE

RAW = XT_HOOKS["raw"][1]
FAMILY_TABLES = {Family.IPV4: TableFamily.IP, Family.IPV6: TableFamily.IP6}


@dataclass(frozen=True, slots=True)
class Raw:
    """The rules of the own chains of one iptables family, or of the own nft table, by hook.

    `priority` is that of the nft table's base chains.
    """

    family: TableFamily
    rules: dict[Hook, tuple[Rule, ...]]
    priority: int = RAW


@dataclass(frozen=True, slots=True)
class Changes:
    """What a plan does to the rules `before`: on trial, kept, and each of them taken back."""

    before: Ruleset
    plain: Change
    trial: Change
    old: bool = False
    """In the words of the 2.6 era, which has no guard in the kernel."""

    @property
    def on_trial(self) -> Ruleset:
        """The rules while the plan is on trial."""
        return apply(self.trial, self.before)

    @property
    def after(self) -> Ruleset:
        """The rules once it is confirmed."""
        return apply(self.plain, self.before)

    def texts(self, on_trial: Ruleset, after: Ruleset) -> Texts:
        """What is loaded for all of it; the rule sets are the two above."""
        return Texts(
            self._batches(self.trial, self.before),
            self._batches(kept(self.plain, self.trial), on_trial),
            self._batches(invert(self.trial), on_trial),
            self._batches(invert(self.plain), after),
        )

    def _batches(self, change: Change, before: Ruleset) -> tuple[Batch, ...]:
        return emit(change, before, old=self.old)


@dataclass(frozen=True, slots=True)
class Texts:
    """The four sequences of batches of a plan."""

    trial: tuple[Batch, ...] = ()
    confirm: tuple[Batch, ...] = ()
    rollback_trial: tuple[Batch, ...] = ()
    rollback_confirmed: tuple[Batch, ...] = ()


def changes_of(
    before: Ruleset,
    additions: Iterable[Addition],
    raws: Iterable[Raw],
    *,
    dialect: Dialect,
    mark: str,
    protocols: Collection[int],
    old: bool = False,
) -> Changes:
    """From what is to be added; InputError where a name of the operator's would be read as more than a name."""
    accepts = [_accepts(table, group) for table, group in by_table(additions)]
    jump = comment_of(mark, "untrack")
    plain = Change((*accepts, *(_own(raw, dialect, jump) for raw in raws)))
    return Changes(before, plain, guarded(plain, protocols, old=old), old)


def _accepts(table: Table, group: Sequence[Addition]) -> Transaction:
    """From the last place to the first: the indices in front stay what they were."""
    for name in dict.fromkeys((table.name, *(a.chain for a in group))):
        if not is_name(name, nft=table.dialect is Dialect.NFTABLES):
            raise InputError("rules", f"no rule goes into {name!r}: that is no plain name", advice="rename it")
    inserted, appended = list[Operation](), list[Operation]()
    for addition in group:
        chain = table.chain(addition.chain)
        index, count = outer(chain.rules if chain else (), addition.index)
        if index == count and table.dialect is Dialect.NFTABLES:  # it has no index behind the last rule
            appended.append(AppendRule(addition.chain, addition.rule))
        else:
            inserted.append(InsertRule(addition.chain, addition.rule, index))
    return Transaction(TableKey.of(table), (*appended, *reversed(inserted)))


def _own(raw: Raw, dialect: Dialect, comment: str) -> Transaction:
    """The own chains with the untracking rules, and the jumps to them."""
    nft = dialect is Dialect.NFTABLES
    made, jumps = list[Operation](), list[Operation]()
    for hook, rules in raw.rules.items():
        own = f"untrack_{hook}" if nft else CHAIN_PREFIX + hook.upper()
        made += [AddChain(own), *(AppendRule(own, rule) for rule in rules)]
        jump = Rule((), (Jump(own),), PLACE, "", comment)
        if nft:
            made += [AddChain(str(hook), Base("filter", hook, raw.priority)), AppendRule(str(hook), jump)]
        else:
            jumps.append(InsertRule(hook.upper(), jump, 0))
    key = TableKey(dialect, raw.family, OWN_TABLE if nft else "raw")
    return Transaction(key, (*([AddTable()] if nft else []), *made, *jumps))


def by_table(additions: Iterable[Addition]) -> Iterator[tuple[Table, list[Addition]]]:
    """Additions in groups of one table, each in the order in which they shall stand."""
    tables: dict[int, list[Addition]] = {}
    for addition in additions:
        tables.setdefault(id(addition.table), []).append(addition)
    for group in tables.values():
        yield group[0].table, sorted(group, key=lambda a: (a.chain, a.index))
