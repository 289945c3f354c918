"""Every finding has its manual page."""

from pathlib import Path

import pytest

from conntrim.core.diagnose.manual import PAGES, Page
from conntrim.render.manual import findings_page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/findings.md"
HEADINGS = ["What it says:", "Why it matters:", "What to do:", "Caveats:"]


@pytest.mark.parametrize("check", PAGES, ids=lambda check: check.code)
def test_a_check_has_the_fixed_headings(check: Page) -> None:
    """One sentence, then the four headings in their order, each with something below."""
    lines = check.text.splitlines()
    assert lines[0].endswith(".")
    assert [line for line in lines if line.endswith(":") and not line.startswith(" ")] == HEADINGS
    assert all(lines[lines.index(heading) + 1].startswith("    ") for heading in HEADINGS)
    assert max(map(len, lines)) < 80


def test_the_page_of_findings_is_the_checks_own() -> None:
    """docs/findings.md is what the docstrings say; where it is not, findings.md.got beside it is what it should be."""
    wanted = findings_page(PAGES)
    if PAGE.read_text() != wanted:
        PAGE.with_suffix(".md.got").write_text(wanted)
    assert PAGE.read_text() == wanted


@pytest.mark.parametrize("option", ["--log", "--interval", "--warning", "--critical", "--max", "--buckets", "--era"])
def test_options_are_documented(option: str) -> None:
    """The manual page of `diagnose` names its options."""
    assert f"`{option}" in (ROOT / "docs/commands/diagnose.md").read_text()
