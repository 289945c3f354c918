"""What the rules are once a change is done: what the proofs look at, and what the kernel lists afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from conntrim.core.emit.plan_rule import listed_matches
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
    PartOperation,
    ReplaceRule,
    RuleOperation,
    TableKey,
    Transaction,
)
from conntrim.core.model.plan import POLICIES
from conntrim.core.model.ruleset import (
    XT_CHAINS,
    XT_HOOKS,
    Base,
    Chain,
    Dialect,
    NamedSet,
    Rule,
    Ruleset,
    Table,
    xt_priority,
)
from conntrim.core.model.service import Hook


class NotThereError(ValueError):
    """A change takes for granted what the rules do not hold."""


def apply(change: Change, ruleset: Ruleset) -> Ruleset:
    """The rules after the change; NotThereError where they are not those that it is meant for.

    Handles aside, it is what the kernel lists then (`tests/lab/test_changes.py`).
    """
    for transaction in change.transactions:
        ruleset = _done(transaction, ruleset)
    return ruleset


def _done(transaction: Transaction, ruleset: Ruleset) -> Ruleset:
    draft = Draft.of(ruleset, transaction.table)
    for operation in transaction.operations:
        draft.do(operation)
    made, tables, at = draft.table(), list(ruleset.tables), _place(ruleset, transaction.table)
    tables[at : at + 1] = [] if made is None else [made]
    return replace(ruleset, tables=tuple(tables))


def _place(ruleset: Ruleset, key: TableKey) -> int:
    """The table's place among all; that behind them where there is no such table."""
    return next((n for n, t in enumerate(ruleset.tables) if TableKey.of(t) == key), len(ruleset.tables))


@dataclass(slots=True)
class Draft:
    """One table amid a change; `origin` is what it was, None where there was none."""

    key: TableKey
    origin: Table | None
    chains: dict[str, Chain]
    sets: dict[str, NamedSet]
    objects: list[str]

    @classmethod
    def of(cls, ruleset: Ruleset, key: TableKey) -> Draft:
        """The table of a rule set; one of iptables' that is not there has its built-in chains once it is touched."""
        at = _place(ruleset, key)
        table = ruleset.tables[at] if at < len(ruleset.tables) else None
        if table is None and key.dialect is not Dialect.NFTABLES:
            table = _built_in(key)
        draft = cls(key, table, {}, {}, [])
        draft._fill()
        return draft

    def _fill(self) -> None:
        table = self.origin or Table(self.key.dialect, self.key.family, self.key.name, ())
        self.chains = {chain.name: chain for chain in table.chains}
        self.sets = {each.name: each for each in table.sets}
        self.objects = list(table.objects)

    def table(self) -> Table | None:
        """What it has become."""
        if self.origin is None or (self.key.name == POLICIES and not self.objects):
            return None
        found = tuple(self.chains.values()), tuple(self.sets.values()), tuple(self.objects)
        return replace(self.origin, chains=found[0], sets=found[1], objects=found[2])

    def context(self) -> Table:
        """What the words of a rule depend on: the table's family and sets."""
        return Table(self.key.dialect, self.key.family, self.key.name, (), tuple(self.sets.values()))

    def do(self, operation: Operation) -> None:
        """One operation; NotThereError."""
        if self.origin is None and not isinstance(operation, AddTable):
            raise NotThereError(f"there is no table {self.key}")
        if isinstance(operation, RuleOperation):
            self._do_rule(operation)
        else:
            self._do_part(operation)

    def _do_rule(self, operation: RuleOperation) -> None:
        rules, put = self.rules(operation.chain), tuple[Rule, ...]()
        match operation:
            case AppendRule(chain, rule, after):
                at = end = len(rules) if after is None else self.span(chain, after)[1]
                put = (self.listed(rule),)
            case InsertRule(chain, rule, before):
                at = end = _inner(rules, before) if isinstance(before, int) else self.span(chain, before)[0]
                put = (self.listed(rule),)
            case ReplaceRule(chain, old, rule):
                at, end = self.span(chain, old)
                put = (self.listed(rule),)
            case DeleteRule(chain, rule):
                at, end = self.span(chain, rule)
            case FlushChain():
                at, end = 0, len(rules)
            case _:
                assert_never(operation)
        self.chains[operation.chain] = replace(self.chains[operation.chain], rules=(*rules[:at], *put, *rules[end:]))

    def _do_part(self, operation: PartOperation) -> None:
        match operation:
            case AddTable():
                self.origin = self.origin or Table(self.key.dialect, self.key.family, self.key.name, ())
            case AddChain(name, base):
                self.chains[name] = Chain(name, (), base)
            case AddSet(named):
                self.sets[named.name] = replace(named, elements=())
            case FillSet(named):
                self.sets[named.name] = replace(self.sets[named.name], elements=named.elements)
            case AddObject(text):
                self.objects.append(text)
            case DeleteChain(name):
                self.rules(name)
                del self.chains[name]
            case DeleteSet(name):
                self.sets.pop(name)
            case DeleteObject(text):
                self.objects.remove(text)
            case DeleteTable():
                self.origin = None
            case _:
                assert_never(operation)

    def rules(self, chain: str) -> tuple[Rule, ...]:
        """Those of a chain now; NotThereError."""
        if chain not in self.chains:
            raise NotThereError(f"there is no chain {chain} in {self.key}")
        return self.chains[chain].rules

    def listed(self, rule: Rule) -> Rule:
        """The rule as the kernel lists it."""
        return replace(rule, matches=listed_matches(rule, self.context()))

    def span(self, chain: str, rule: Rule) -> tuple[int, int]:
        """Where a rule stands now, and where the next one begins: the one with its handle, where it has one; else the
        first that is equal to it, of the same place if there is one."""
        rules, listed = self.rules(chain), self.listed(rule)
        if rule.handle:
            same = [n for n, r in enumerate(rules) if r.handle == rule.handle]
        else:
            same = [n for n, r in enumerate(rules) if r == listed]
        if not same:
            raise NotThereError(f"{chain} of {self.key} has no such rule: {rule.comment or rule.text}")
        start = next((n for n in same if rules[n].place == rule.place), same[0])
        return start, next((n for n in _starts(rules) if n > start), len(rules))


def _built_in(key: TableKey) -> Table:
    """A table of iptables' as its first rule makes it (K1); policies of ctnetlink stand in none."""
    if key.name == POLICIES:
        return Table(key.dialect, key.family, key.name, ())
    kind, hooks = XT_HOOKS[key.name][0], map(Hook, XT_CHAINS[key.name])
    bases = [Base(kind, hook, xt_priority(key.dialect, key.name, hook)) for hook in hooks]
    return Table(key.dialect, key.family, key.name, tuple(Chain(b.hook.upper(), (), b) for b in bases))


def outer(rules: Sequence[Rule], index: int) -> tuple[int, int]:
    """The index of a rule as its dialect's listing counts, and how many there are: a verdict map is one rule there."""
    starts = _starts(rules)
    return sum(1 for start in starts if start <= index) - (index < len(rules)), len(starts)


def _inner(rules: Sequence[Rule], index: int) -> int:
    """The opposite: where the rule begins that the listing has at an index."""
    starts = [*_starts(rules), len(rules)]
    if index >= len(starts):
        raise NotThereError(f"there is no place {index} among {len(starts) - 1} rules")
    return starts[index]


def _starts(rules: Sequence[Rule]) -> list[int]:
    return [i for i, r in enumerate(rules) if i == 0 or not r.listed_with(rules[i - 1])]
