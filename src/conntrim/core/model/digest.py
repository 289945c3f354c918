"""A short name for what a rule set says: the same as long as no rule, chain, policy or set changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from conntrim.core.model.ruleset import Chain, NamedSet, Ruleset, Table


def digest(ruleset: Ruleset) -> str:
    """SHA-256 over the rules' own texts; counters, handles, places and what fills itself are left out."""
    text = "\n".join(line for table in ruleset.tables for line in _table(table))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _table(table: Table) -> Iterator[str]:
    yield f"table {table.dialect} {table.family} {table.name} {'dormant' if table.dormant else ''}"
    for chain in table.chains:
        yield from _chain(chain)
    for each in table.sets:
        yield _set(each)
    yield from table.objects


def _chain(chain: Chain) -> Iterator[str]:
    base = chain.base
    hook = f" {base.type} {base.hook} {base.priority} {base.policy} {','.join(base.devices)}" if base else ""
    yield f"chain {chain.name}{hook}"
    for rule in chain.rules:
        yield f"{rule.text} # {rule.comment}"


def _set(named: NamedSet) -> str:
    """A set with its content, sorted; a dynamic one without."""
    content = "" if named.dynamic else named.text if not named.known else " ".join(sorted(map(str, named.elements)))
    return f"set {named.name} {named.kind} {named.declaration} {content}"
