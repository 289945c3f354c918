"""The manual pages of findings: one as text, all as a list or as one Markdown page (docs/findings.md is this)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conntrim.core.diagnose.manual import Page

LINE = 79 - len("CT001  ") - 18
"""Columns of a manual page's first sentence in the list."""

TITLE = "# Findings of `conntrim diagnose` and `conntrim check`"


def findings_page(pages: Iterable[Page]) -> str:
    """One section a check; the headings of its docstring become bold words."""
    return "\n".join([TITLE, *(line for page in pages for line in _section(page))]) + "\n"


def _section(page: Page) -> Iterator[str]:
    yield ""
    yield f"## {page.code} {page.name}"
    yield ""
    for line in page.text.strip().splitlines():
        heading = line.endswith(":") and not line.startswith(" ")
        yield f"**{line[:-1]}.**" if heading else line.strip()


def findings_list(pages: Iterable[Page]) -> str:
    """One line a check: code, name, and the first sentence of its manual page."""
    return "".join(f"{page.code}  {page.name:<18}{_first_line(page)}\n" for page in pages)


def manual_text(page: Page) -> str:
    """One manual page."""
    return f"{page.code} {page.name}\n\n{page.text.strip()}\n"


def _first_line(page: Page) -> str:
    line = page.text.strip().splitlines()[0]
    return line if len(line) <= LINE else line[: LINE - 3] + "..."
