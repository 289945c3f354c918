"""The manual pages of findings: one as text, all as a list or as one Markdown page (docs/findings.md is this)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conntrim.core.diagnose.registry import Check

LINE = 79 - len("CT001  ") - 18
"""Columns of a manual page's first sentence in the list."""

TITLE = "# Findings of `conntrim diagnose` and `conntrim check`"


def findings_page(checks: Iterable[Check]) -> str:
    """One section a check; the headings of its docstring become bold words."""
    return "\n".join([TITLE, *(line for check in checks for line in _section(check))]) + "\n"


def _section(check: Check) -> Iterator[str]:
    yield ""
    yield f"## {check.code} {check.name}"
    yield ""
    for line in check.manual.strip().splitlines():
        heading = line.endswith(":") and not line.startswith(" ")
        yield f"**{line[:-1]}.**" if heading else line.strip()


def findings_list(checks: Iterable[Check]) -> str:
    """One line a check: code, name, and the first sentence of its manual page."""
    return "".join(f"{check.code}  {check.name:<18}{_first_line(check)}\n" for check in checks)


def manual_text(check: Check) -> str:
    """One manual page."""
    return f"{check.code} {check.name}\n\n{check.manual.strip()}\n"


def _first_line(check: Check) -> str:
    line = check.manual.strip().splitlines()[0]
    return line if len(line) <= LINE else line[: LINE - 3] + "..."
