"""The manual pages of findings and obligations: as text, as lists, as docs/findings.md and docs/obligations.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conntrim.core.diagnose.manual import Page
from conntrim.core.plan.obligations.registry import Page as Obligation
from conntrim.render.page import page, wrapped

LINE = 79 - len("CT001  ") - 18
"""Columns of a manual page's first sentence in the list."""

OBLIGATIONS = "# Obligations of a plan"
TITLE = "# Findings of `conntrim diagnose` and `conntrim check`"


def findings_page(pages: Iterable[Page]) -> str:
    """One section a check; the headings of its docstring become bold words."""
    sections = (_section(f"{page.code} {page.name}", page.text) for page in pages)
    return "\n".join([TITLE, *(line for section in sections for line in section)]) + "\n"


def obligations_page(pages: Iterable[Obligation]) -> str:
    """One section an obligation."""
    sections = (_section(page.name, page.text) for page in pages)
    return "\n".join([OBLIGATIONS, *(line for section in sections for line in section)]) + "\n"


def obligations_table(pages: Iterable[Obligation]) -> str:
    """One row an obligation: its name and the first sentence of its page."""
    rows = (f"| [{page.name}](../obligations.md#{page.name}) | {page.property.rstrip('.')} |\n" for page in pages)
    return "| name | property |\n| --- | --- |\n" + "".join(rows)


def _section(title: str, text: str) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    for line in text.strip().splitlines():
        heading = line.endswith(":") and not line.startswith(" ")
        yield f"**{line[:-1]}.**" if heading else line.strip()


def findings_list(pages: Iterable[Page]) -> str:
    """One line a check: code, name, and the first sentence of its manual page."""
    return "".join(f"{page.code}  {page.name:<18}{_first_line(page)}\n" for page in pages)


def manual_text(page: Page) -> str:
    """One manual page."""
    return f"{page.code} {page.name}\n\n{page.text.strip()}\n"


def fact_text(fact: Page) -> str:
    """A fact about the kernel, under 80 columns."""
    lines = (line for each in fact.text.split("\n\n") for line in ("", *wrapped(each, rest="")))
    return page([f"{fact.code} {fact.name}", *lines])


def _first_line(page: Page) -> str:
    line = page.text.strip().splitlines()[0]
    return line if len(line) <= LINE else line[: LINE - 3] + "..."
