"""The chain blocks of an nft text with the line of each statement: for whoever writes lines into an operator's file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_QUOTED = re.compile(r'"[^"\n]*"|#[^\n]*')
_NO_RULE = re.compile(r"(type|policy|comment|flags|device|devices|elements|size|timeout|include|define)\b")
"""First words of what stands in a chain block and is no rule."""
_INCLUDE = re.compile(r"^\s*include\s", re.MULTILINE)


@dataclass(slots=True)
class Block:
    """A `{ ... }` of a file: its header such as `chain input`, and its statements by the line on which each begins."""

    header: str
    first: int
    last: int = 0
    statements: list[tuple[int, bool, str]] | None = None
    """Line, whether nothing stands before it on that line, text."""


def includes(text: str) -> bool:
    """Whether a file includes others."""
    return _INCLUDE.search(text) is not None


def rules_of(block: Block) -> list[tuple[int, bool, str]]:
    """Its statements that are rules."""
    return [s for s in block.statements or [] if not _NO_RULE.match(s[2])]


def blocks(text: str) -> Iterator[tuple[str, Block]]:
    """The chain blocks of an nft text."""
    for table in _inside(text, 0, text.count("\n")):
        if not table.header.startswith("table "):
            continue
        header = " ".join(table.header.split())
        if len(header.split()) == 2:
            header = header.replace("table ", "table ip ")
        for inner in _inside(text, table.first + 1, table.last):
            if inner.header.startswith("chain "):
                inner.statements = list(_statements(text, inner))
                yield f"{header} {' '.join(inner.header.split())}", inner


def _bare(text: str) -> list[str]:
    """The lines with strings and comments blanked out, so that their braces and semicolons do not count."""
    return _QUOTED.sub(lambda m: ("_" if m[0][0] == '"' else " ") * len(m[0]), text).splitlines()


def _inside(text: str, first: int, last: int) -> Iterator[Block]:
    """The blocks that begin on these lines and are not inside one another."""
    depth, opened = 0, Block("", 0)
    for number, line in enumerate(_bare(text)[first:last], first):
        for sign in re.finditer(r"[{}]", line):
            if sign[0] == "{":
                if depth == 0:
                    opened = Block(line[: sign.start()].strip(), number)
                depth += 1
            else:
                depth -= 1
                if depth == 0:
                    opened.last = number
                    yield opened


def _statements(text: str, block: Block) -> Iterator[tuple[int, bool, str]]:
    """What a chain block says, each statement with its line, and whether it begins that line."""
    bare, shown = _bare(text), text.splitlines()
    depth, held, origin = 0, list[str](), (0, True)
    for number in range(block.first + 1, block.last):
        line = bare[number].rstrip()
        start = pieces = 0
        for at, sign in enumerate(line + "\n"):
            depth += {"{": 1, "}": -1}.get(sign, 0)
            if sign != "\n" and (sign != ";" or depth):
                continue
            if piece := shown[number][start : min(at, len(line))].strip():
                origin = origin if held else (number, pieces == 0)
                held.append(piece)
                pieces += 1
            start = at + 1
            if held and depth == 0 and not line.endswith("\\"):
                yield *origin, " ".join(held)
                held = []
