"""Row files of nft rules: `rule ; ok|fail ; canonical ; the rule as nft -j lists it`, below headings `@family`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conntrim.core.emit.nft import rule_text
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.model.errors import InputError
from conntrim.core.model.ruleset import Table, TableFamily
from conntrim.core.parse.nft.document import read_nft


@dataclass(frozen=True, slots=True)
class NftRow:
    """One row; `rule` is `-` where nft has no words for the JSON."""

    family: str
    rule: str
    verdict: str
    canonical: str
    json: str


def nft_rows(path: Path) -> Iterator[NftRow]:
    """The rows of a file."""
    family = "inet"
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("@"):
            family = line[1:]
        elif line and not line.startswith("#"):
            yield NftRow(family, *line.split(" ; "))


def listing(family: str, json: str) -> str:
    """A listing whose chain `c` holds the one rule."""
    where = f'"family": "{family}", "table": "t"'
    rule = f'{{"rule": {{{where}, "chain": "c", {json[1:-1] or chr(34) + "handle" + chr(34) + ": 1"}}}}}'
    return (
        f'{{"nftables": [{{"table": {{"family": "{family}", "name": "t"}}}}, '
        f'{{"chain": {{{where}, "name": "user"}}}}, '
        f'{{"chain": {{{where}, "name": "c", "type": "filter", "hook": "prerouting", "prio": -300}}}}, {rule}]}}'
    )


def table_of(family: str, json: str) -> Table:
    """The table with the one rule; InputError where it is none."""
    return read_nft(listing(family, json), "row").tables[0]


def judged_nft(family: str, json: str) -> tuple[str, str]:
    """What we make of the rule: ok and its canonical text, or fail and why. Several rules are joined by ` || `."""
    try:
        table = table_of(family, json)
    except InputError as error:
        return "fail", error.message
    chain = table.chain("c")
    assert chain is not None
    sets = {each.name: each for each in table.sets}
    try:
        return "ok", " || ".join(rule_text(rule, TableFamily(family), sets) for rule in chain.rules)
    except NotExpressible as error:
        return "ok", f"({error})"
