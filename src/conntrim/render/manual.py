"""The manual pages of all findings as one Markdown page: docs/findings.md is this."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conntrim.core.diagnose.registry import Check

TITLE = "# Findings of `conntrim diagnose`"


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
