"""A rule set with a plan's rules in it, as a value: what the proofs and the evaluators compare with the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from conntrim.core.model.plan import CHAIN_PREFIX, OWN_TABLE
from conntrim.core.model.ruleset import Base, Chain, Dialect, Jump, Match, Rule, Ruleset, Table
from conntrim.core.plan.admission import Addition
from conntrim.core.plan.spelling import PLACE
from conntrim.core.plan.texts import Raw, jump_comment


def applied(
    ruleset: Ruleset,
    additions: Sequence[Addition],
    raws: Sequence[Raw],
    dialect: Dialect,
    mark: str,
    *,
    guard: tuple[Match, ...] = (),
) -> Ruleset:
    """The rule set with the plan's rules in it; `guard` is what a trial's rules in others' chains match besides."""
    tables = [_with_accepts(t, [a for a in additions if a.table is t], guard) for t in ruleset.tables]
    for raw in raws:
        tables = _with_raw(tables, raw, dialect, mark, guard)
    return replace(ruleset, tables=tuple(tables))


def _with_accepts(table: Table, additions: Sequence[Addition], guard: tuple[Match, ...]) -> Table:
    chains = []
    added = [(a.chain, a.index, replace(a.rule, matches=(*guard, *a.rule.matches))) for a in additions]
    for chain in table.chains:
        rules: list[Rule] = []
        for index in range(len(chain.rules) + 1):
            rules += [rule for name, at, rule in added if (name, at) == (chain.name, index)]
            rules += chain.rules[index : index + 1]
        chains.append(replace(chain, rules=tuple(rules)))
    return replace(table, chains=tuple(chains))


def _with_raw(tables: list[Table], raw: Raw, dialect: Dialect, mark: str, guard: tuple[Match, ...]) -> list[Table]:
    name = OWN_TABLE if dialect is Dialect.NFTABLES else "raw"
    same = [t for t in tables if (t.dialect, t.family, t.name) == (dialect, raw.family, name)]
    table = same[0] if same else Table(dialect, raw.family, name, ())
    chains = {c.name: c for c in table.chains}
    for hook, rules in raw.rules.items():
        base = str(hook) if dialect is Dialect.NFTABLES else hook.upper()
        own = CHAIN_PREFIX + hook.upper()
        old = chains.get(base, Chain(base, (), Base("filter", hook, raw.priority)))
        jump = Rule(guard, (Jump(own),), PLACE, "", jump_comment(mark))
        chains[base] = replace(old, rules=(jump, *old.rules))
        chains[own] = Chain(own, rules)
    return [t for t in tables if t is not table] + [replace(table, chains=tuple(chains.values()))]
