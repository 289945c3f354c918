"""A live rule set whose rules are named by their chain and number instead of a listing's line or a handle.

A line moves when a table comes in front, a handle when the same rules are loaded again: neither is a change, and a plan
must say the same before and after.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from conntrim.core.model.finding import Place
from conntrim.core.model.ruleset import Chain, Ruleset, Table


def numbered(ruleset: Ruleset) -> Ruleset:
    """The same rules, each placed as `ip filter INPUT rule 3`; those that come from one rule share its number."""
    return replace(ruleset, tables=tuple(_table(table) for table in ruleset.tables))


def _table(table: Table) -> Table:
    where = f"{table.family} {table.name}"
    return replace(table, chains=tuple(_chain(chain, f"{where} {chain.name}") for chain in table.chains))


def _chain(chain: Chain, where: str) -> Chain:
    groups = groupby(chain.rules, key=lambda rule: (rule.place, rule.handle, rule.text))
    rules = (
        replace(rule, place=Place(f"{where} rule {number}"))
        for number, (_, group) in enumerate(groups, 1)
        for rule in group
    )
    return replace(chain, rules=tuple(rules), place=Place(where))
