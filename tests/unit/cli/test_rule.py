"""The verb `rule`: every finding can be looked up."""

from __future__ import annotations

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


def test_an_unknown_code_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    """One line on standard error, and exit code 2."""
    assert run(["rule", "CT999"]) == 2
    assert capsys.readouterr().err == "conntrim: CODE: there is no finding CT999 (conntrim rule lists them)\n"
