"""Other people's iptables files against the kernel: what we read, what we write, what it lists."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from conntrim.core.emit.iptables import restore_text
from conntrim.core.model.errors import HostError, InputError
from conntrim.core.model.normal import normal
from conntrim.core.model.ruleset import Dialect, OpaqueMatch, OpaqueStatement, Ruleset, Table, TableFamily, xt_priority
from conntrim.core.parse.xt.save import read_save
from conntrim.lab.netns import LabHost, lab_host

BACK_ENDS = {"nft": Dialect.IPTABLES_NFT, "legacy": Dialect.IPTABLES_LEGACY}
pytestmark = pytest.mark.corpus


def files(corpus: Path) -> list[tuple[Path, TableFamily, str]]:
    """Each file, its family and the programs' first word."""
    found = sorted((corpus / "iptables").iterdir())
    return [
        (p, TableFamily.IP6, "ip6tables") if p.name.startswith("ip6") else (p, TableFamily.IP, "iptables")
        for p in found
    ]


def as_dialect(ruleset: Ruleset, dialect: Dialect) -> Ruleset:
    """The same tables, as if the back end held them, in one order."""
    return normal(Ruleset(tuple(_held_by(dialect, table) for table in ruleset.tables)))


def _held_by(dialect: Dialect, table: Table) -> Table:
    """Its chains hang where that back end hangs them (K1)."""
    chains = (
        replace(c, base=replace(c.base, priority=xt_priority(dialect, table.name, c.base.hook))) if c.base else c
        for c in table.chains
    )
    return replace(table, dialect=dialect, chains=tuple(chains))


def listed(host: LabHost, program: str, text: str) -> str:
    """What the kernel lists after loading the text."""
    host.run(f"{program}-restore", text=text)
    return host.run(f"{program}-save")


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_files_mean_what_the_kernel_lists(corpus: Path, back_end: str) -> None:
    """A file, the kernel's listing after loading it, and the listing after loading our text are one rule set."""
    dialect, compared = BACK_ENDS[back_end], 0
    for path, family, program in files(corpus):
        text = path.read_text(encoding="utf-8")
        try:
            read = as_dialect(read_save(text, path.name, family), dialect)
        except InputError:
            continue
        with lab_host("theirs") as theirs, lab_host("ours") as ours:
            save = listed(theirs, f"{program}-{back_end}", text)
            again = listed(ours, f"{program}-{back_end}", restore_text(read, dialect, family))
        kernel = as_dialect(read_save(save, path.name, family), dialect)
        assert kernel == read, path.name
        assert kernel == as_dialect(read_save(again, path.name, family), dialect), path.name
        compared += 1
    assert compared > 40


def test_only_what_the_kernel_refuses_is_refused(corpus: Path, host: LabHost) -> None:
    """We refuse exactly the files that iptables-restore --test refuses, each with its line."""
    theirs, ours, lines = set(), set(), []
    for path, family, program in files(corpus):
        text = path.read_text(encoding="utf-8")
        try:
            host.run(f"{program}-nft-restore", "--test", text=text)
        except HostError:
            theirs.add(path.name)
        try:
            read_save(text, path.name, family)
        except InputError as error:
            ours.add(path.name)
            lines.append(error.line)
    assert theirs == ours
    assert 0 not in lines


def test_what_stays_opaque_is_counted(corpus: Path) -> None:
    """Every opaque part has the name of a match or target that the model does not read."""
    count: Counter[str] = Counter()
    for path, family, _ in files(corpus):
        try:
            ruleset = read_save(path.read_text(encoding="utf-8"), path.name, family)
        except InputError:
            continue
        for table in ruleset.tables:
            for rule in table.rules():
                count.update(
                    p.kind for p in (*rule.matches, *rule.statements) if isinstance(p, OpaqueMatch | OpaqueStatement)
                )
    print("opaque:", ", ".join(f"{kind} {number}" for kind, number in count.most_common()))
    expected = {"mac", "recent", "limit", "owner", "policy", "CONNMARK", "rpfilter", "connmark", "rt"}
    assert expected >= set(count)
