"""Text from outside inside Markdown: no comment of a rule ends its code block, its table or its line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from conntrim.core.model.printable import longest_ticks, shown

_ACTIVE = re.compile(r"[<\[\]]|^(?:[#>~+*=-]|`{3})")
"""What begins HTML, a link or an image anywhere, and what begins a block at the front."""


def prose(text: str) -> str:
    """A sentence that may hold words from outside."""
    return _ACTIVE.sub(r"\\\g<0>", shown(text))


def code(text: str) -> str:
    """A code span; its fence is longer than any run of backticks in it."""
    fence, text = "`" * (longest_ticks(text) + 1), shown(text)
    pad = " " * (text[:1] == "`" or text[-1:] == "`")
    return f"{fence}{pad}{text}{pad}{fence}"


def block(text: str) -> Iterator[str]:
    """A fenced code block, line by line."""
    fence = "`" * max(3, longest_ticks(text) + 1)
    yield fence
    yield from map(shown, text.rstrip().split("\n"))
    yield fence


def cell(text: str) -> str:
    """A table's cell: the bars in it are none of the table's."""
    return text.replace("|", r"\|")
