"""Rule sets in one order, so that two listings of the same rules are equal."""

from __future__ import annotations

from dataclasses import replace

from conntrim.core.model.ruleset import NamedSet, Ruleset, Table


def normal(ruleset: Ruleset) -> Ruleset:
    """Tables, chains, sets and elements sorted by name: their order in a listing means nothing. Rules keep theirs."""
    tables = sorted(map(_table, ruleset.tables), key=lambda t: (t.dialect, t.family, t.name))
    return replace(ruleset, tables=tuple(tables))


def _table(table: Table) -> Table:
    chains = sorted(table.chains, key=lambda chain: chain.name)
    sets = sorted(map(_set, table.sets), key=lambda each: each.name)
    return replace(table, chains=tuple(chains), sets=tuple(sets), objects=tuple(sorted(table.objects)))


def _set(named: NamedSet) -> NamedSet:
    return replace(named, elements=tuple(sorted(named.elements, key=repr)))
