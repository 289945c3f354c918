"""The texts of a plan: what is loaded to try, keep and undo it.

A trial only adds. Each rule that it puts into a chain of the operator's carries the guard; own rules stand in own
chains that are reached through one guarded jump. Accepts come before the raw rules that need them, and go after.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from conntrim.core.emit.plan_rule import nft_rule, xt_rule
from conntrim.core.model.address import Family
from conntrim.core.model.errors import InputError
from conntrim.core.model.plan import (
    ARMED,
    CHAIN_PREFIX,
    DEADLINE,
    HANDLE,
    OWN_TABLE,
    SECONDS,
    TRIAL_SUFFIX,
    Batch,
    comment_of,
)
from conntrim.core.model.protocol import protocol_name
from conntrim.core.model.ruleset import XT_HOOKS, Chain, Dialect, Jump, OpaqueMatch, Rule, Table, TableFamily
from conntrim.core.model.service import Hook
from conntrim.core.plan.admission import Addition
from conntrim.core.plan.spelling import PLACE

XT_GUARD = OpaqueMatch("time", f"--datestop {DEADLINE}")
NFT_GUARD = f"meta l4proto @{ARMED}"
OWN = f"inet {OWN_TABLE}"

RAW = XT_HOOKS["raw"][1]

PROGRAMS: dict[tuple[Dialect, TableFamily], str] = {
    (Dialect.IPTABLES_NFT, TableFamily.IP): "iptables-nft-restore",
    (Dialect.IPTABLES_NFT, TableFamily.IP6): "ip6tables-nft-restore",
    (Dialect.IPTABLES_LEGACY, TableFamily.IP): "iptables-legacy-restore",
    (Dialect.IPTABLES_LEGACY, TableFamily.IP6): "ip6tables-legacy-restore",
}
"""The restore programs by back end: `iptables-restore` alone may be either (K37)."""
PLAIN = {True: re.compile(r"[A-Za-z][\w./-]*", re.ASCII), False: re.compile(r"[!#-&(-,.-~][!#-&(-~]*")}
"""Names that nft (True) and iptables-restore read as names: no blank, quote or sign in front that means something."""
FAMILY_TABLES = {Family.IPV4: TableFamily.IP, Family.IPV6: TableFamily.IP6}


def jump_comment(mark: str) -> str:
    """`conntrim:1a2b3c4d untrack`: a plan knows by it whether the very same rules are loaded."""
    return comment_of(mark, "untrack")


@dataclass(frozen=True, slots=True)
class Raw:
    """The rules of the own chains of one iptables family, or of the own nft table, by hook.

    `priority` is that of the nft table's base chains.
    """

    family: TableFamily
    rules: dict[Hook, tuple[Rule, ...]]
    priority: int = RAW


@dataclass(frozen=True, slots=True)
class Texts:
    """The four sequences of batches of a plan."""

    trial: tuple[Batch, ...] = ()
    confirm: tuple[Batch, ...] = ()
    rollback_trial: tuple[Batch, ...] = ()
    rollback_confirmed: tuple[Batch, ...] = ()


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes for one dialect of raw rules; `old` in the words of the 2.6 era, which has no guard in the kernel."""

    dialect: Dialect
    protocols: tuple[int, ...]
    mark: str
    old: bool = False

    @property
    def jump_comment(self) -> str:
        """The comment of the jump to the own chains; its mark is that of everything the plan adds."""
        return jump_comment(self.mark)

    def program(self, dialect: Dialect, family: TableFamily) -> str:
        """The program that loads rules of a dialect and family."""
        if dialect is Dialect.NFTABLES:
            return "nft"
        name = PROGRAMS[dialect, family]
        return name.replace("-nft-", "-").replace("-legacy-", "-") if self.old else name

    def texts(self, additions: Sequence[Addition], raws: Iterable[Raw]) -> Texts:
        """All four sequences: accepts first and raw last on the way in, the other way round on the way out."""
        accepts = [self._accepts(table, group) for table, group in by_table(additions)]
        raw = [self._own_nft(r) if self.dialect is Dialect.NFTABLES else self._own_xt(r) for r in raws]
        inward, outward = [*accepts, *raw], [*raw, *accepts]
        return Texts(
            tuple(t.trial[0] for t in inward),
            tuple(t.confirm[0] for t in inward),
            tuple(t.rollback_trial[0] for t in outward),
            tuple(t.rollback_confirmed[0] for t in outward),
        )

    def _accepts(self, table: Table, group: list[Addition]) -> Texts:
        """InputError where the name of a chain or table of the operator's would be read as more than a name."""
        for name in dict.fromkeys((table.name, *(a.chain for a in group))):
            if not PLAIN[table.dialect is Dialect.NFTABLES].fullmatch(name):
                raise InputError("rules", f"no rule goes into {name!r}: that is no plain name", advice="rename it")
        program = self.program(table.dialect, table.family)
        four = self._nft_accepts(table, group) if table.dialect is Dialect.NFTABLES else self._xt_accepts(table, group)
        return _texts(program, four)

    def _xt_rule(self, rule: Rule, family: TableFamily, guarded: bool) -> str:
        guard = XT_GUARD if guarded and not self.old else None
        suffix = TRIAL_SUFFIX if guarded else ""
        return xt_rule(rule, v6=family is TableFamily.IP6, suffix=suffix, guard=guard, old=self.old)

    def _xt_accepts(self, table: Table, group: list[Addition]) -> tuple[list[str], ...]:
        """From the last place to the first: the indices in front stay what they were."""

        def inserted(guarded: bool) -> list[str]:
            return [
                f"-I {a.chain} {_number(table, a)} {self._xt_rule(a.rule, table.family, guarded)}"
                for a in reversed(group)
            ]

        def deleted(guarded: bool) -> list[str]:
            return [f"-D {a.chain} {self._xt_rule(a.rule, table.family, guarded)}" for a in group]

        lines = inserted(True), [*deleted(True), *inserted(False)], deleted(True), deleted(False)
        return tuple([f"*{table.name}", *found, "COMMIT"] for found in lines)

    def _own_xt(self, raw: Raw) -> Texts:
        declared: list[str] = []
        removed: list[str] = []
        jumps: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
        for hook, rules in raw.rules.items():
            chain = CHAIN_PREFIX + hook.upper()
            declared += [f":{chain} - [0:0]", *(f"-A {chain} {self._xt_rule(r, raw.family, False)}" for r in rules)]
            removed += [f"-F {chain}", f"-X {chain}"]
            rule = Rule((), (Jump(chain),), PLACE, "", self.jump_comment)
            for guarded in (True, False):
                jumps[guarded].append((hook.upper(), self._xt_rule(rule, raw.family, guarded)))
        into = {g: [f"-I {hook} 1 {text}" for hook, text in jumps[g]] for g in jumps}
        out = {g: [f"-D {hook} {text}" for hook, text in jumps[g]] for g in jumps}
        four = [*declared, *into[True]], [*out[True], *into[False]], [*out[True], *removed], [*out[False], *removed]
        return _texts(self.program(self.dialect, raw.family), tuple(["*raw", *found, "COMMIT"] for found in four))

    def _armed(self, where: str, protocols: Iterable[int]) -> list[str]:
        """The guard of one nft table: a set whose elements time out by the monotonic clock (K39)."""
        elements = ", ".join(f"{protocol_name(p).replace('icmpv6', 'ipv6-icmp')} timeout {SECONDS}s" for p in protocols)
        return [
            f"add set {where} {ARMED} {{ type inet_proto; flags timeout; }}",
            f"flush set {where} {ARMED}",
            f"add element {where} {ARMED} {{ {elements} }}",
        ]

    def _nft_accepts(self, table: Table, group: list[Addition]) -> tuple[list[str], ...]:
        where = f"{table.family} {table.name}"
        last_first = list(reversed(group))
        trial = [
            self._insert(where, table, a, nft_rule(a.rule, table=table, suffix=TRIAL_SUFFIX, guard=NFT_GUARD))
            for a in last_first
        ]
        handles = [(a, self._handle(where, a.chain, a.rule.comment + TRIAL_SUFFIX)) for a in group]
        kept = [f"insert rule {where} {a.chain} handle {h} {nft_rule(a.rule, table=table)}" for a, h in handles]
        gone = [*(f"delete rule {where} {a.chain} handle {h}" for a, h in handles), f"delete set {where} {ARMED}"]
        return (
            [*self._armed(where, sorted({*self.protocols, 1, 58})), *trial],
            [*kept, *gone],  # `replace rule` would say both, but nft 1.0.6 aborts on ranges in it (K49)
            gone,
            [f"delete rule {where} {a.chain} handle {self._handle(where, a.chain, a.rule.comment)}" for a in group],
        )

    def _handle(self, where: str, chain: str, comment: str) -> str:
        return f'{HANDLE} {where} {chain} "{comment}"@'

    def _insert(self, where: str, table: Table, addition: Addition, text: str) -> str:
        """By index, not by handle: a reload of the same rules gives them other handles."""
        chain = table.chain(addition.chain)
        index, count = nft_index(chain, addition.index)
        if index < count:
            return f"insert rule {where} {addition.chain} index {index} {text}"
        return f"add rule {where} {addition.chain} {text}"

    def _own_nft(self, raw: Raw) -> Texts:
        trial, confirm = [f"add table {OWN}", *self._armed(OWN, self.protocols)], list[str]()
        for hook, rules in raw.rules.items():
            chain, own = f"{OWN} {hook}", f"untrack_{hook}"
            trial += [f"add chain {OWN} {own}", f"flush chain {OWN} {own}"]
            trial += [f"add rule {OWN} {own} {nft_rule(r)}" for r in rules]
            trial.append(f"add chain {chain} {{ type filter hook {hook} priority {raw.priority}; policy accept; }}")
            jump = Rule((), (Jump(own),), PLACE, "", self.jump_comment)
            trial += [
                f"flush chain {chain}",
                f"add rule {chain} {nft_rule(jump, suffix=TRIAL_SUFFIX, guard=NFT_GUARD)}",
            ]
            confirm += [f"flush chain {chain}", f"add rule {chain} {nft_rule(jump)}"]
        return _texts("nft", (trial, [*confirm, f"delete set {OWN} {ARMED}"], *[[f"delete table {OWN}"]] * 2))


def _texts(program: str, four: Sequence[list[str]]) -> Texts:
    batches = [(Batch(program, "\n".join(lines) + "\n"),) for lines in four]
    return Texts(*batches)


def _number(table: Table, addition: Addition) -> int:
    """The number of the rule that an addition goes before, as iptables counts; one more than all at the end."""
    index, count = nft_index(table.chain(addition.chain), addition.index)
    return min(index, count) + 1


def nft_index(chain: Chain | None, index: int) -> tuple[int, int]:
    """The index of a rule as nft counts, and how many there are: a verdict map is one rule there."""
    rules = chain.rules if chain else ()
    starts = [i for i, r in enumerate(rules) if i == 0 or not _one_rule(rules[i - 1], r)]
    return sum(1 for start in starts if start <= index) - (index < len(rules)), len(starts)


def _one_rule(earlier: Rule, later: Rule) -> bool:
    """Whether two neighbours come from one nft rule."""
    if not later.handle or not later.text:
        return False
    return (earlier.place, earlier.handle, earlier.text) == (later.place, later.handle, later.text)


def by_table(additions: Iterable[Addition]) -> Iterator[tuple[Table, list[Addition]]]:
    """Additions in groups of one table, each in the order in which they shall stand."""
    tables: dict[int, list[Addition]] = {}
    for addition in additions:
        tables.setdefault(id(addition.table), []).append(addition)
    for group in tables.values():
        yield group[0].table, sorted(group, key=lambda a: (a.chain, a.index))
