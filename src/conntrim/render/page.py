"""The last step of every text face: lines to a page in which nothing from outside is more than something to read."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from conntrim.core.model.printable import shortened, shown

WIDTH = 79
"""Columns of a line where nobody looks: in a pipe, a file, a report."""
NARROWEST, WIDEST = 40, 160
LONGEST = 4096
"""Characters of one value in a terminal: a rule may be as long as a file; `--json` and REPORT.md have it whole."""

_width: ContextVar[int] = ContextVar("width", default=WIDTH)


def width() -> int:
    """Columns that a line may take; the last one of a terminal stays free."""
    return _width.get()


@contextmanager
def as_wide_as(columns: int | None) -> Iterator[None]:
    """Lines for a terminal of so many columns, within what can be read; None: for no terminal."""
    before = _width.set(WIDTH if columns is None else max(NARROWEST, min(columns - 1, WIDEST)))
    try:
        yield
    finally:
        _width.reset(before)


def page(lines: Iterable[str]) -> str:
    """The lines, each shown as one, with a line feed at its end."""
    return "".join(f"{shown(line)}\n" for line in lines)


def wrapped(text: str, first: str = "", rest: str | None = None, *, less: int = 0, long: bool = True) -> list[str]:
    """One value as lines: the first set in by `first`, the others by `rest` (else two more); `long` words broken.

    `less` are columns that the caller needs at the end."""
    return textwrap.wrap(
        shown(shortened(text, LONGEST)), width() - less, initial_indent=first,
        subsequent_indent=f"{first}  " if rest is None else rest, break_long_words=long, break_on_hyphens=False,
    )  # fmt: skip
