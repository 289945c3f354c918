"""What is read of a rule-set file, as lines: tables, chains, rules in their own dialect's words, sets, remarks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from conntrim.core.emit.iptables import rule_words
from conntrim.core.emit.nft import rule_text
from conntrim.core.model.ruleset import Dialect, NamedSet, Rule, Ruleset, Table, TableFamily

FORMS = Path(__file__).parent / "forms"


def shown(ruleset: Ruleset) -> str:
    """The rule set."""
    return "".join(f"{line}\n" for line in _lines(ruleset))


def _lines(ruleset: Ruleset) -> Iterator[str]:
    for table in ruleset.tables:
        yield f"{table.dialect} table {table.family} {table.name}"
        for chain in table.chains:
            base = chain.base
            yield f"  {chain.name}" + (f" {base.hook} {base.priority} {base.policy}" if base else "")
            yield from (f"    {rule.place.line or '-'}: {_words(rule, table)}" for rule in chain.rules)
        yield from (f"  {_set(each)}" for each in table.sets)
    yield from (f"ip{_set(each)}" for each in ruleset.ipsets)
    yield from (f"note: {note}" for note in (*ruleset.remarks, *ruleset.unread))


def _words(rule: Rule, table: Table) -> str:
    if table.dialect is Dialect.NFTABLES:
        return rule_text(rule, table.family, {each.name: each for each in table.sets})
    return " ".join(rule_words(rule, table.family is TableFamily.IP6))


def _set(each: NamedSet) -> str:
    return f"set {each.name} {each.kind}{' dynamic' * each.dynamic}: {len(each.elements)} elements"


def judged(name: str, ruleset: Ruleset) -> tuple[str, str]:
    """What is wanted of a file, and what is read of it; a mismatch is written beside it, `GOLDEN=accept` takes it."""
    golden = FORMS / f"{name}.read"
    actual = shown(ruleset)
    if os.environ.get("GOLDEN") == "accept":
        golden.write_text(actual, encoding="utf-8")
    return golden.read_text(encoding="utf-8"), actual
