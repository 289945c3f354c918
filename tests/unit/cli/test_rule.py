"""The verb `rule`: every finding can be looked up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conntrim.cli.main import run
from conntrim.core.diagnose.manual import PAGES


def test_a_page_by_code_and_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Both spellings print the same page, which begins with code and name."""
    assert [run(["rule", name]) for name in ("ct010", "short-lived")] == [0, 0]
    page = capsys.readouterr().out
    half = len(page) // 2
    assert page[:half] == page[half:]
    assert page.startswith("CT010 short-lived\n\nShort-lived connections")


def test_the_list_has_every_finding_once(capsys: pytest.CaptureFixture[str]) -> None:
    """One line of at most 79 columns a check, in the order of their codes."""
    assert run(["rule"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[check.code, check.name] for check in PAGES]
    assert max(map(len, lines)) < 80


def test_a_fact_by_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    """What it says, how it is known, under 80 columns."""
    assert run(["rule", "k20"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("K20 notrack\n\nNOTRACK by source port together with a bare accept of UNTRACKED lets")
    assert told.endswith("\n\nHow it is known: measured.\n")
    assert max(map(len, told.splitlines())) < 80


def test_every_fact_that_the_program_cites_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A K number in any text of the code has a page: whatever is printed can be looked up."""
    source = Path(__file__).parents[3] / "src/conntrim"
    cited = {fact for file in source.rglob("*.py") for fact in re.findall(r"\bK\d{1,3}\b", file.read_text())}
    assert [] == [fact for fact in sorted(cited) if run(["rule", fact]) != 0]
    assert "" == capsys.readouterr().err


def test_an_unknown_code_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    """One line on standard error, and exit code 2."""
    assert run(["rule", "CT999"]) == 2
    assert capsys.readouterr().err == "conntrim: CODE: there is no finding CT999 (conntrim rule lists them)\n"
