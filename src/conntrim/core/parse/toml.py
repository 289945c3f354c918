"""Where in a TOML file each key and each array element stands; tomllib reads the values but forgets the lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

Path = tuple[str | int, ...]

TOKEN = re.compile(
    r'"""[\s\S]*?"""' r"|'''[\s\S]*?'''" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'"
    r"|\#[^\n]*|\n|[\[\]{},=.]|[^\s\[\]{},=.\#\"']+|[ \t\r]+"
)  # fmt: skip
"""The pieces that matter here: strings, comments, line feeds, punctuation, bare words."""


@dataclass(slots=True)
class _Scanner:
    """Walks the pieces once. `prefix` is the current table, `path` the key whose value is being read."""

    lines: dict[Path, int] = field(default_factory=dict)
    counts: dict[Path, int] = field(default_factory=dict)
    prefix: Path = ()
    path: Path | None = None
    words: list[str] = field(default_factory=list)
    header: bool = False
    brackets: int = 0
    depth: int = 0
    index: int = 0
    expecting: bool = False

    def statement(self, piece: str, line: int) -> None:
        """A piece outside a value: part of a key or of a table header."""
        if piece == "[" and not self.words:
            self.header, self.brackets = True, self.brackets + 1
        elif piece == "]" and self.header:
            self.end_header(line)
        elif piece == "=":
            self.path = (*self.prefix, *self.words)
            self.lines[self.path] = line
            self.words, self.depth, self.index, self.expecting = [], 0, 0, False
        elif piece not in ".]":
            self.words.append(piece.strip("\"'"))

    def end_header(self, line: int) -> None:
        """`[name]` or `[[name]]` is complete; the nth `[[name]]` is the path (name, n)."""
        if self.words:
            self.prefix = tuple(self.words)
            if self.brackets > 1:
                number = self.counts.get(self.prefix, 0)
                self.counts[self.prefix] = number + 1
                self.prefix = (*self.prefix, number)
            self.lines[self.prefix] = line
        self.words, self.header, self.brackets = [], False, 0

    def value(self, piece: str, line: int) -> None:
        """A piece of a value: remember where the elements of its outermost array begin."""
        if self.path is None:
            return
        if self.depth and self.expecting and piece not in "],":
            self.lines[(*self.path, self.index)] = line
            self.expecting = False
        if piece in "[{":
            self.depth += 1
            self.expecting = self.depth == 1
        elif piece in "]}":
            self.depth -= 1
        elif piece == "," and self.depth == 1:
            self.index, self.expecting = self.index + 1, True


def locate(text: str) -> dict[Path, int]:
    """Path to line, counted from 1, of a valid TOML text: `("untrack", 0, "ports", 1)` is the second port's line."""
    scan, line = _Scanner(), 1
    for match in TOKEN.finditer(text):
        piece = match[0]
        if piece == "\n" and not scan.depth:
            scan.path, scan.words = None, []
        elif piece.strip() and not piece.startswith("#"):
            (scan.statement if scan.path is None else scan.value)(piece, line)
        line += piece.count("\n")
    return scan.lines


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of the nearest known ancestor of a path, 0 where there is none."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 0)
