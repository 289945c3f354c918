"""The last step of every text face: lines to a page in which nothing from outside is more than something to read."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from conntrim.core.model.printable import shortened, shown

WIDTH = 79
LONGEST = 4096
"""Characters of one value in a terminal: a rule may be as long as a file; `--json` and REPORT.md have it whole."""


def page(lines: Iterable[str]) -> str:
    """The lines, each shown as one, with a line feed at its end."""
    return "".join(f"{shown(line)}\n" for line in lines)


def wrapped(text: str, first: str = "", rest: str | None = None, width: int = WIDTH, *, long: bool = True) -> list[str]:
    """One value as lines: the first set in by `first`, the others by `rest` (else two more); `long` words broken."""
    return textwrap.wrap(
        shown(shortened(text, LONGEST)), width, initial_indent=first,
        subsequent_indent=f"{first}  " if rest is None else rest, break_long_words=long, break_on_hyphens=False,
    )  # fmt: skip
