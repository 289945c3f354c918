"""What in a rule set is ours: told by names and comments, so that a second plan sees the first one's rules."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import assert_never

from conntrim.core.model.conntrack import STATELESS
from conntrim.core.model.ct_match import CtIn
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import (
    ARMED,
    CHAIN_PREFIX,
    TRIAL_SUFFIX,
    is_own_comment,
    mark_of,
    slot_of_chain,
    slot_of_table,
)
from conntrim.core.model.ruleset import (
    AnyOf,
    Chain,
    Dialect,
    In,
    InSet,
    Interface,
    Jump,
    Match,
    NamedSet,
    OpaqueMatch,
    Rule,
    Ruleset,
    Table,
    Verdict,
    XtConntrack,
)

_STATES = tuple(Intervals.of(int(state)) for state in STATELESS)
"""What a plan's rule in a chain of others asks for: packets that go without an entry, or errors about them."""


def is_own_table(table: Table) -> bool:
    """The nft table of a plan."""
    return slot_of(table) > 0


def slot_of(table: Table) -> int:
    """Which of the own nft tables it is; 0: none."""
    return slot_of_table(table.family, table.name) if table.dialect is Dialect.NFTABLES else 0


def is_own_chain(chain: Chain) -> bool:
    """An iptables chain of a plan."""
    return chain.name.startswith(CHAIN_PREFIX)


def is_own_rule(rule: Rule) -> bool:
    """A plan's rule in a chain that is not: its whole comment is one, and it asks for what such a rule asks for."""
    if rule.comment and is_own_comment(rule.comment) and any(map(_asks_state, rule.matches)):
        return True
    return any([type(s) is Jump and s.chain.startswith(CHAIN_PREFIX) for s in rule.statements])


def _asks_state(match: Match) -> bool:
    match match:
        case XtConntrack():
            return match.states in _STATES and not match.others
        case In(field=Field.CT_STATE):
            return match.values in _STATES
        case In() | Interface() | CtIn() | InSet() | AnyOf() | OpaqueMatch():
            return False
        case _:
            assert_never(match)


def without_own(ruleset: Ruleset) -> Ruleset:
    """The rule set as it would be if no plan had ever been applied."""
    return replace(ruleset, tables=tuple(_stripped(t) for t in ruleset.tables if not is_own_table(t)))


def _stripped(table: Table) -> Table:
    """What is not ours of a table; where nothing is, the table itself, which is looked at once."""
    left = tuple(_without_rules(c) for c in table.chains if not is_own_chain(c))
    sets = tuple(s for s in table.sets if s.name != ARMED)
    if len(sets) == len(table.sets) and [*map(id, left)] == [*map(id, table.chains)]:
        return table
    return replace(table, chains=left, sets=sets)


def _without_rules(chain: Chain) -> Chain:
    own = any(map(is_own_rule, chain.rules))
    return replace(chain, rules=tuple(r for r in chain.rules if not is_own_rule(r))) if own else chain


def own_comments(ruleset: Ruleset) -> frozenset[tuple[str, str, str, str]]:
    """Every rule of ours that is loaded: table family, table, chain, comment."""
    return frozenset(
        (table.family.value, table.name, chain.name, rule.comment)
        for table in ruleset.tables
        for chain in table.chains
        for rule in chain.rules
        if is_own_table(table) or is_own_chain(chain) or is_own_rule(rule)
    )


def slots(ruleset: Ruleset, *, trial: bool = False) -> frozenset[int]:
    """The sets of own names that are in use; `trial`: only those that a trial's jumps lead to."""
    found = set[int]()
    for table in ruleset.tables:
        own = slot_of(table)
        for rule in (r for c in table.chains for r in c.rules if not trial or r.comment.endswith(TRIAL_SUFFIX)):
            found |= {own, *(slot_of_chain(s.chain) for s in rule.statements if type(s) is Jump)}
        if not trial:
            found |= {own, *(slot_of_chain(chain.name) for chain in table.chains)}
    return frozenset(found - {0})


def without_trial(ruleset: Ruleset) -> Ruleset:
    """The rule set without what a trial left in it, armed or expired; what an earlier plan holds stays."""
    tried = slots(ruleset, trial=True)
    if not tried and not has_trial(ruleset):
        return ruleset
    tables = (_without_trial(t, tried) for t in ruleset.tables if slot_of(t) not in tried)
    return replace(ruleset, tables=tuple(tables))


def _without_trial(table: Table, tried: frozenset[int]) -> Table:
    chains = tuple(
        replace(c, rules=tuple(r for r in c.rules if not (is_own_rule(r) and r.comment.endswith(TRIAL_SUFFIX))))
        for c in table.chains
        if slot_of_chain(c.name) not in tried
    )
    return replace(table, chains=chains, sets=tuple(s for s in table.sets if s.name != ARMED))


def marks(ruleset: Ruleset) -> tuple[str, ...]:
    """The marks of the plans that wrote our rules."""
    return tuple(sorted({mark for *_, comment in own_comments(ruleset) if (mark := mark_of(comment))}))


def has_trial(ruleset: Ruleset) -> bool:
    """Whether rules of a trial are loaded, armed or expired."""
    return any(comment.endswith(TRIAL_SUFFIX) for *_, comment in own_comments(ruleset))


def fingerprint(ruleset: Ruleset) -> str:
    """A digest of what the rule set means without us: the same before a plan, under its trial and after `confirm`.

    Places, handles and counters do not count, nor do tables that do nothing.
    """
    tables = sorted(_said(t) for t in without_own(ruleset).tables if _does_something(t))
    return hashlib.sha256("\n".join(tables).encode()).hexdigest()


def parts(ruleset: Ruleset) -> dict[str, str]:
    """A short digest of each chain and set that is not ours: tells where two rule sets differ."""
    found, texts = dict[str, str](), _Texts()
    for table in without_own(ruleset).tables:
        if not _does_something(table):
            continue
        where = f"{table.dialect.value} {table.family.value} {table.name}"
        for chain in table.chains:
            found[f"chain {chain.name} of {where}"] = _short(texts.chain(chain))
        for each in table.sets:
            found[f"set {each.name} of {where}"] = _short(repr(_set_said(each)))
        for each_object in table.objects:
            found[f"{_object_name(each_object)} of {where}"] = _short(repr(each_object))
    return found


def _object_name(text: str) -> str:
    """`ct helper ftp`: an object's kind and name, of its JSON."""
    kind, content = next(iter(json.loads(text).items()))
    return f"{kind} {content.get('name', '')}".strip()


def _short(said: str) -> str:
    return hashlib.sha256(said.encode()).hexdigest()[:12]


class _Texts(dict[int, str]):
    """What `repr` says of matches and statements, by identity: most are shared by many rules. Whoever uses it holds
    them."""

    def of(self, parts: tuple[object, ...]) -> str:
        """As `repr` of the tuple."""
        found = [self[id(each)] if id(each) in self else self.setdefault(id(each), repr(each)) for each in parts]
        return f"({', '.join(found)}{',' if len(found) == 1 else ''})"

    def chain(self, chain: Chain) -> str:
        """A chain's name, base and rules: each rule's matches, statements and comment."""
        rules = [f"({self.of(r.matches)}, {self.of(r.statements)}, {r.comment!r})" for r in chain.rules]
        return f"({chain.name!r}, {chain.base!r}, [{', '.join(rules)}])"


def _set_said(named: NamedSet) -> object:
    return named.name, named.kind, () if named.dynamic else named.elements


def _does_something(table: Table) -> bool:
    refusing = any(c.base and c.base.policy is not Verdict.ACCEPT for c in table.chains)
    return refusing or any(c.rules for c in table.chains)


def _said(table: Table) -> str:
    texts = _Texts()
    chains = f"[{', '.join(map(texts.chain, table.chains))}]"
    sets = repr([_set_said(each) for each in table.sets])
    objects = [repr(sorted(table.objects))] if table.objects else []
    names = map(repr, (table.dialect.value, table.family.value, table.name))
    return f"({', '.join((*names, chains, sets, repr(table.dormant), *objects))})"
