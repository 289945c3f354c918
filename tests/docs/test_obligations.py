"""Every obligation has its manual page, and the manual is made of them."""

from pathlib import Path

import pytest

from conntrim.core.plan.obligations.registry import PAGES, Page
from conntrim.render.manual import obligations_page, obligations_table

ROOT = Path(__file__).parents[2]
PAGE, PLAN = ROOT / "docs/obligations.md", ROOT / "docs/commands/plan.md"
HEADINGS = ["How it is decided:", "Broken means:", "What to do:"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_an_obligation_has_the_fixed_headings(page: Page) -> None:
    """One sentence, then the three headings in their order, each with something below."""
    lines = page.text.splitlines()
    assert lines[0].endswith(".")
    assert [line for line in lines if line.endswith(":") and not line.startswith(" ")] == HEADINGS
    assert all(lines[lines.index(heading) + 1].startswith("    ") for heading in HEADINGS)
    assert max(map(len, lines[1:])) < 80


def test_the_page_of_obligations_is_their_own() -> None:
    """docs/obligations.md is what the docstrings say; where it is not, obligations.md.got beside it is what it should
    be."""
    wanted = obligations_page(PAGES)
    if not PAGE.exists() or PAGE.read_text() != wanted:
        PAGE.with_suffix(".md.got").write_text(wanted)
    assert PAGE.read_text() == wanted


def test_the_table_of_obligations_is_made_of_their_pages() -> None:
    """The manual page of `plan` has one row for each obligation, with the first sentence of its page."""
    assert obligations_table(PAGES) in PLAN.read_text()
