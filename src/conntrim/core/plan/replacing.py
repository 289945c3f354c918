"""A plan that takes the place of a confirmed one: its change beside what stands there, and that one put back beside it.

A plan is proved for the rules without any of ours, and what is kept in the end is that. On its way there both plans'
rules stand together: the new ones on trial beside the old, then kept beside them, then alone (K105). So the same change
is placed anew, each rule in front of the same rule of others, and what both do together is proved as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from conntrim.core.change.apply import apply, outer
from conntrim.core.change.emit import emit
from conntrim.core.change.guard import guarded
from conntrim.core.model.change import (
    AddChain,
    AddObject,
    AddSet,
    AddTable,
    AppendRule,
    Change,
    InsertRule,
    Operation,
    TableKey,
    Transaction,
)
from conntrim.core.model.finding import Place
from conntrim.core.model.plan import Batch, slot_of_chain
from conntrim.core.model.ruleset import Chain, Dialect, Jump, Rule, Ruleset, Table
from conntrim.core.plan.changes import Changes, Texts
from conntrim.core.plan.own import is_own_chain, is_own_rule, is_own_table


@dataclass(frozen=True, slots=True)
class Replacing:
    """The change beside the earlier plan's rules, its texts, and those that put the earlier ones back beside it.

    `untracked` are the rules with both plans', of the later one only what untracks.
    """

    changes: Changes
    texts: Texts
    reinstate: tuple[Batch, ...]
    untracked: Ruleset


def replacing_of(alone: Changes, untracking: Change, current: Ruleset, protocols: Collection[int]) -> Replacing:
    """From the change that a plan does to the rules without ours, and the part of it that untracks; `current` holds the
    earlier plan's rules."""
    base = alone.before
    plain = beside(alone.plain, base, current)
    changes = Changes(current, plain, guarded(plain, protocols, old=alone.old), alone.old)
    after = alone.after
    earlier = beside(held(current), base, after)
    texts = changes.texts(changes.on_trial, changes.after)
    untracked = apply(beside(untracking, base, current), current)
    return Replacing(changes, texts, emit(earlier, after, old=alone.old), untracked)


def beside(change: Change, base: Ruleset, there: Ruleset) -> Change:
    """A change of the rules without ours, done to rules with some of ours: in front of the same rules of others."""
    return Change(tuple(Transaction(t.table, tuple(_moved(t, base, there))) for t in change.transactions))


def _moved(transaction: Transaction, base: Ruleset, there: Ruleset) -> Iterator[Operation]:
    for operation in transaction.operations:
        if isinstance(operation, InsertRule) and isinstance(operation.before, int):
            before = _rules(base, transaction.table, operation.chain)
            now = _rules(there, transaction.table, operation.chain)
            yield replace(operation, before=_index(operation.before, before, now))
        else:
            yield operation


def _rules(ruleset: Ruleset, key: TableKey, chain: str) -> Sequence[Rule]:
    table = next((t for t in ruleset.tables if TableKey.of(t) == key), None)
    found = table.chain(chain) if table else None
    return found.rules if found else ()


def _index(index: int, base: Sequence[Rule], there: Sequence[Rule]) -> int:
    """Where the rule stands among all that is the n-th of others."""
    others = [n for n, rule in enumerate(there) if not is_own_rule(rule)]
    inner = next((n for n in range(len(base)) if outer(base, n)[0] == index), len(base))
    return outer(there, others[inner])[0] if inner < len(others) else outer(there, len(there))[1]


def held(current: Ruleset) -> Change:
    """What an earlier plan holds, as the change that made it of the rules without ours: accepts, then untracking."""
    others = [t for t in current.tables if not is_own_table(t)]
    accepts = [Transaction(TableKey.of(t), tuple(_puts(t, jumps=False))) for t in others]
    raws = [Transaction(TableKey.of(t), (*_whole(_own(t)), *_puts(t, jumps=True))) for t in others]
    tables = [
        Transaction(TableKey.of(t), (AddTable(), *map(AddSet, t.sets), *map(AddObject, t.objects), *_whole(t.chains)))
        for t in current.tables
        if is_own_table(t)
    ]
    return Change(tuple(t for t in (*accepts, *raws, *tables) if t.operations))


def _own(table: Table) -> tuple[Chain, ...]:
    return tuple(chain for chain in table.chains if is_own_chain(chain))


def _whole(chains: Sequence[Chain]) -> Iterator[Operation]:
    """Chains with all their rules, as they are listed: those on a hook behind those that their rules lead to."""
    for chain in chains:
        yield AddChain(chain.name, chain.base)
        yield from (AppendRule(chain.name, _bare(rule)) for rule in chain.rules)


def _puts(table: Table, *, jumps: bool) -> Iterator[Operation]:
    """The own rules in chains of others, from the last to the first: the indices in front stay what they were."""
    appended, inserted = list[Operation](), list[Operation]()
    for chain in table.chains if table.dialect is not Dialect.NFTABLES or not jumps else ():
        others = (
            tuple(rule for rule in chain.rules if not is_own_rule(rule)) if not is_own_chain(chain) else chain.rules
        )
        behind = 0
        for rule in chain.rules if len(others) < len(chain.rules) else ():
            if not is_own_rule(rule):
                behind += 1
            elif any(type(s) is Jump and slot_of_chain(s.chain) for s in rule.statements) is jumps:
                index, count = outer(others, behind)
                if index == count and table.dialect is Dialect.NFTABLES:  # it has no index behind the last rule
                    appended.append(AppendRule(chain.name, _bare(rule)))
                else:
                    inserted.append(InsertRule(chain.name, _bare(rule), index))
    yield from (*appended, *reversed(inserted))


def _bare(rule: Rule) -> Rule:
    """The rule without what only its listing says of it."""
    return replace(rule, place=Place("plan"), handle=0, text="")
