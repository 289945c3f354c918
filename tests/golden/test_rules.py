"""The row files: what each rule is read as, in one canonical spelling, or why it is refused."""

from __future__ import annotations

import os

import pytest

from conntrim.core.model.ruleset import TableFamily
from conntrim.core.parse.xt.save import read_save
from tests.golden.rows import ROWS, chain_of, rewritten, rows

FILES = sorted(ROWS.glob("ip*tables.t"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.stem))
def test_rows(path: os.PathLike[str]) -> None:
    """Every row is read as it was when a person last looked at it."""
    file = ROWS / os.fspath(path)
    actual = rewritten(file)
    if os.environ.get("GOLDEN") == "accept":
        file.write_text(actual, encoding="utf-8")
    elif actual != file.read_text(encoding="utf-8"):
        file.with_suffix(".got").write_text(actual, encoding="utf-8")
    assert actual.splitlines() == file.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.stem))
def test_canonical_text_means_the_same(path: os.PathLike[str]) -> None:
    """The canonical spelling of a rule is read as the same rule."""
    for row in rows(ROWS / os.fspath(path)):
        if row.verdict == "ok" and not row.canonical.startswith("(no "):
            texts = "".join(f"-A {row.chain} {t.replace('(all)', '')}\n" for t in row.canonical.split(" || "))
            again = read_save(f"*{row.table}\n:user - [0:0]\n{texts}COMMIT\n", "row", row.family)
            assert chain_of(read_save(row.save(), "row", row.family), row.chain) == chain_of(again, row.chain), row.rule


def test_there_are_enough() -> None:
    """Both families have rows, of both outcomes."""
    found = [(row.family, row.verdict) for path in FILES for row in rows(path)]
    assert {(f, v) for f in (TableFamily.IP, TableFamily.IP6) for v in ("ok", "fail")} == set(found)
