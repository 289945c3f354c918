"""One file of each form in which people have their rules: what is read of it."""

from __future__ import annotations

import pytest

from conntrim.core.parse.rule_forms import Form, parts
from conntrim.core.parse.ruleset import read_all
from tests.golden.forms import FORMS, judged

NAMES = sorted(path.stem for path in FORMS.glob("*.txt"))
NFT_TEXT = {name for name in NAMES if name in ("nft-list-ruleset", "nftables.conf")}
"""Those that need nft itself: tests/lab/test_nft_text.py."""


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NFT_TEXT])
def test_a_form_is_read_as_it_was(name: str) -> None:
    """Each file is read as it was when a person last looked at it."""
    wanted, actual = judged(name, read_all([(name, (FORMS / f"{name}.txt").read_bytes())]))
    assert actual.splitlines() == wanted.splitlines()


def test_every_form_has_a_file() -> None:
    """A form that nobody reads a file of is one that nobody knows to work."""
    texts = [(FORMS / f"{name}.txt").read_bytes().decode() for name in NAMES]
    assert {part.form for text in texts for part in parts(text, "f")} == set(Form)
