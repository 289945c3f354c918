"""The numbered facts that code and tests cite are written down."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_cited_fact_is_listed() -> None:
    """A K number in code, tests or manual pages stands in docs/kernel-facts.md."""
    listed = set(re.findall(r"^\| (K\d+) ", (ROOT / "docs/kernel-facts.md").read_text(), re.MULTILINE))
    files = [*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("docs/**/*.md")]
    cited = {fact for file in files for fact in re.findall(r"\bK\d{1,3}\b", file.read_text())}
    assert set() == cited - listed
