"""Row files of rules: `rule ; ok|fail ; canonical`, below headings `@family table CHAIN`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conntrim.core.emit.iptables import rule_words
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.model.errors import InputError
from conntrim.core.model.ruleset import Chain, Ruleset, TableFamily
from conntrim.core.parse.xt.save import read_save

ROWS = Path(__file__).parent / "rules"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where the rule stands, as it was written, what comes of it."""

    family: TableFamily
    table: str
    chain: str
    rule: str
    verdict: str
    canonical: str

    def save(self) -> str:
        """The rule in a table of its own, with a chain to jump to."""
        return f"*{self.table}\n:user - [0:0]\n-A {self.chain} {self.rule}\nCOMMIT\n"


def rows(path: Path) -> Iterator[Row]:
    """The rows of a file."""
    heading = ("ip", "filter", "INPUT")
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("@"):
            family, table, chain = line[1:].split()
            heading = family, table, chain
        elif line and not line.startswith("#"):
            rule, verdict, canonical = line.split(" ; ")
            yield Row(TableFamily(heading[0]), heading[1], heading[2], rule, verdict, canonical)


def chain_of(ruleset: Ruleset, name: str) -> Chain:
    """The chain of the only table."""
    found = ruleset.tables[0].chain(name)
    assert found is not None
    return found


def judged(row: Row) -> tuple[str, str]:
    """What we make of the rule: ok and its canonical text, or fail and why. Several rules are joined by ` || `."""
    try:
        chain = chain_of(read_save(row.save(), "row", row.family), row.chain)
    except InputError as error:
        return "fail", error.message
    try:
        said = [" ".join(rule_words(rule, row.family is TableFamily.IP6)) or "(all)" for rule in chain.rules]
    except NotExpressible as error:
        return "ok", f"({error})"
    return "ok", " || ".join(said)


def rewritten(path: Path) -> str:
    """The file with what we make of each row today."""
    lines = []
    current = rows(path)
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "@#":
            row = next(current)
            line = " ; ".join((row.rule, *judged(row)))  # noqa: PLW2901 - the row is replaced by what it is today
        lines.append(line)
    return "\n".join(lines) + "\n"
