"""The row files of nft rules: what each listed rule is read as, or why it is refused."""

from __future__ import annotations

import pytest

from tests.golden.nft_rows import NftRow, judged_nft, nft_rows
from tests.golden.rows import ROWS

FOUND = list(nft_rows(ROWS / "nft.t"))


@pytest.mark.parametrize("row", FOUND, ids=lambda row: f"{row.family} {row.rule}")
def test_row(row: NftRow) -> None:
    """The listed rule is read as it was when a person last looked at it."""
    assert (row.verdict, row.canonical) == judged_nft(row.family, row.json)


def test_there_are_enough() -> None:
    """With iptables' rows there are at least four hundred of our own."""
    files = [path.read_text(encoding="utf-8").splitlines() for path in ROWS.glob("*.t")]
    assert sum(1 for lines in files for line in lines if line and line[0] not in "@#") >= 400
