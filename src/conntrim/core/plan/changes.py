"""A plan's change of the rules, and the four ways in which it is carried out.

A trial only adds. Each rule that it puts into a chain of the operator's carries the guard; own rules stand in own
chains that are reached through one guarded jump. Accepts come before the raw rules that need them, and go after.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from conntrim.core.change.apply import apply, outer
from conntrim.core.change.emit import emit
from conntrim.core.change.guard import guarded, kept
from conntrim.core.change.invert import invert
from conntrim.core.dialect.names import is_name
from conntrim.core.model.address import Family
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
from conntrim.core.model.errors import InputError
from conntrim.core.model.plan import OWN_TABLES, POLICIES, SLOTS, Batch, Purpose, base_chain, comment_of
from conntrim.core.model.plan import own_chain as chain_of_slot
from conntrim.core.model.ruleset import (
    XT_HOOKS,
    Base,
    CtTemplate,
    Dialect,
    Jump,
    Match,
    NamedSet,
    Rule,
    Ruleset,
    Table,
    TableFamily,
)
from conntrim.core.model.service import Hook
from conntrim.core.plan.admission import Addition
from conntrim.core.plan.spelling import PLACE

RAW = XT_HOOKS["raw"][1]
FAMILY_TABLES = {Family.IPV4: TableFamily.IP, Family.IPV6: TableFamily.IP6}


XT_TABLES: dict[Purpose, str] = {Purpose.UNTRACK: "raw", Purpose.LIMIT: "filter", Purpose.TIMEOUT: "raw"}
"""Where iptables has what a purpose needs: only raw comes before conntrack, only filter refuses with an answer."""


@dataclass(frozen=True, slots=True)
class Own:
    """Rules of one purpose in chains of our own: of one iptables family, or in the own nft table.

    `rules` are those of the chains that packets are sent to, by hook; `inner` those of the chains that these send to,
    by name, the first made first. `priority` is that of nft's base chains, `sets` are nft's, `objects` too, as JSON; of
    iptables these are policies of ctnetlink, which stand before the rules that name them. `slot` is the set of own
    names that all of it bears.
    """

    dialect: Dialect
    family: TableFamily
    rules: Mapping[Hook, tuple[Rule, ...]]
    priority: int = RAW
    purpose: Purpose = Purpose.UNTRACK
    inner: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    sets: tuple[NamedSet, ...] = ()
    slot: int = SLOTS[0]
    apart: tuple[tuple[Match, Match], ...] = ()
    """Matches that bear another name in the other set: hashlimit's tables are shared by name, with the rate of who made
    them, and two plans' rules would charge a packet twice while they stand together."""
    templates: tuple[tuple[CtTemplate, CtTemplate], ...] = ()
    """The same of templates: policies of ctnetlink have one name space."""
    objects: tuple[str, ...] = ()

    def chain(self, hook: Hook) -> str:
        """The name of the chain with a hook's rules."""
        if self.dialect is Dialect.NFTABLES:
            return f"{self.purpose}_{hook}"
        if self.purpose is Purpose.UNTRACK:
            return chain_of_slot(self.slot, str(hook))
        return chain_of_slot(self.slot, f"{self.purpose}-{SHORT.get(hook, hook)}")

    def base(self, hook: Hook) -> str:
        """The name of nft's base chain that jumps there."""
        return base_chain(self.purpose, hook)

    def table(self) -> TableKey:
        """The table that all of it stands in."""
        name = OWN_TABLES[self.slot] if self.dialect is Dialect.NFTABLES else XT_TABLES[self.purpose]
        return TableKey(self.dialect, self.family, name)

    def in_slot(self, slot: int) -> Own:
        """The same under the other names; nft's chains and objects have the table's."""
        if slot == self.slot:
            return self
        if self.dialect is Dialect.NFTABLES:
            return replace(self, slot=slot, objects=tuple(_in_table(o, OWN_TABLES[slot]) for o in self.objects))
        names = {name: chain_of_slot(slot, name.removeprefix(own_chain(""))) for name in self.inner}

        def led(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
            jumps, apart = {Jump(name): Jump(other) for name, other in names.items()}, dict(self.apart)
            templates = dict(self.templates)
            return tuple(
                replace(
                    rule,
                    matches=tuple(apart.get(m, m) for m in rule.matches),
                    statements=tuple(
                        jumps.get(s, s) if type(s) is Jump else templates.get(s, s) if type(s) is CtTemplate else s
                        for s in rule.statements
                    ),
                )
                for rule in rules
            )

        return replace(
            self,
            slot=slot,
            objects=tuple(_by_the_other_name(line) for line in self.objects),
            rules={hook: led(rules) for hook, rules in self.rules.items()},
            inner={names[name]: led(rules) for name, rules in self.inner.items()},
        )


SHORT: dict[Hook, str] = {Hook.PREROUTING: "in"}
"""A chain's name has at most 28 characters."""


def policy_name(number: int, family: Family, slot: int = SLOTS[0]) -> str:
    """`c400`: the n-th policy of a family, in four characters (K150), each set with its own first one."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    return f"{'cd'[slot - 1]}{4 if family is Family.IPV4 else 6}{digits[number // 36]}{digits[number % 36]}"


def _by_the_other_name(line: str) -> str:
    """A policy's line in the second set of names."""
    *words, name, family, rest = line.split(" ", 5)
    return " ".join((*words, f"d{name[1:]}", family, rest))


def _in_table(text: str, table: str) -> str:
    ((kind, content),) = json.loads(text).items()
    return json.dumps({kind: content | {"table": table}})


def own_chain(name: str) -> str:
    """An iptables chain of ours, by the first set of names."""
    return chain_of_slot(SLOTS[0], name)


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
    owns: Sequence[Own],
    *,
    mark: str,
    protocols: Collection[int],
    old: bool = False,
) -> Changes:
    """From what is to be added; InputError where a name of the operator's would be read as more than a name."""
    accepts = [_accepts(table, group) for table, group in by_table(additions)]
    nft = [own for own in owns if own.dialect is Dialect.NFTABLES]
    made = [each for own in owns if own not in nft for each in _made_xt(own, mark)]
    if nft:
        made.append(Transaction(nft[0].table(), (AddTable(), *(op for own in nft for op in _own_nft(own, mark)))))
    plain = Change((*accepts, *made))
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


def _made_xt(own: Own, mark: str) -> Iterator[Transaction]:
    """A set of one iptables family: the policies that its rules name come first."""
    if own.objects:
        yield Transaction(replace(own.table(), name=POLICIES), tuple(map(AddObject, own.objects)))
    yield Transaction(own.table(), tuple(_own_xt(own, mark)))


def _own_nft(own: Own, mark: str) -> Iterator[Operation]:
    """Sets, chains and jumps of one purpose."""
    yield from map(AddSet, own.sets)
    yield from map(AddObject, own.objects)
    yield from _filled(own.inner)
    for hook, rules in own.rules.items():
        chain, base = own.chain(hook), own.base(hook)
        yield from _filled({chain: rules})
        yield AddChain(base, Base("filter", hook, own.priority))
        yield AppendRule(base, _jump(own, chain, mark))


def _own_xt(own: Own, mark: str) -> Iterator[Operation]:
    """The chains, and the jumps to them, first of what stands at their hook."""
    chains = {own.chain(hook): hook for hook in own.rules}
    yield from _filled(own.inner)
    yield from _filled({chain: own.rules[hook] for chain, hook in chains.items()})
    yield from (InsertRule(hook.upper(), _jump(own, chain, mark), 0) for chain, hook in chains.items())


def _filled(chains: Mapping[str, tuple[Rule, ...]]) -> Iterator[Operation]:
    for name, rules in chains.items():
        yield AddChain(name)
        yield from (AppendRule(name, rule) for rule in rules)


def _jump(own: Own, chain: str, mark: str) -> Rule:
    return Rule((), (Jump(chain),), PLACE, "", comment_of(mark, own.purpose))


def by_table(additions: Iterable[Addition]) -> Iterator[tuple[Table, list[Addition]]]:
    """Additions in groups of one table, each in the order in which they shall stand."""
    tables: dict[int, list[Addition]] = {}
    for addition in additions:
        tables.setdefault(id(addition.table), []).append(addition)
    for group in tables.values():
        yield group[0].table, sorted(group, key=lambda a: (a.chain, a.index))
