"""Lines of a save file to words and back, by iptables-restore's quoting: double quotes, backslash only inside them.

The save programs quote comments and prefixes, but not the names of sets and of `recent` lists (K76).
"""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[^\s\"\\#]+")
"""A word that means itself without quotes."""

_WORD = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+')
_PART = re.compile(r'"((?:[^"\\]|\\.)*)"|([^"]+)')
_ESCAPE = re.compile(r"\\(.)")


def split(line: str) -> list[str]:
    """The words of a line; ValueError for a quote that is never closed."""
    if '"' not in line:
        return line.split()
    if "\\" not in line and (plain := _quoted_words(line)) is not None:
        return plain
    words = []
    end = 0
    for found in _WORD.finditer(line):
        if line[end : found.start()].strip():
            break
        end = found.end()
        words.append("".join(_ESCAPE.sub(r"\1", p[1]) if p[1] is not None else p[2] for p in _PART.finditer(found[0])))
    if line[end:].strip():
        raise ValueError("a quote is opened and never closed")
    return words


def _quoted_words(line: str) -> list[str] | None:
    """The words of a line without backslashes whose quotes each hold one whole word; None for every other line."""
    first, *parts = line.split('"')
    if len(parts) == 2 and first[-1:] == parts[1][:1] == " ":  # a comment, as in nearly every line that has quotes
        return [*first.split(), parts[0], *parts[1].split()]
    if len(parts) % 2 or (first and not first[-1].isspace()):
        return None
    words = first.split()
    for at in range(0, len(parts), 2):
        behind = parts[at + 1]
        if (behind and not behind[0].isspace()) or (at + 2 < len(parts) and not behind[-1:].isspace()):
            return None
        words.append(parts[at])
        words += behind.split()
    return words


_LISTED = re.compile(r'"(?:[^"\\]|\\.)*"(?=\s|$)|\S+')


def split_listed(line: str) -> list[str]:
    """The words of a line that a save program printed: a quote that does not begin a word is part of it."""
    if '"' not in line:
        return line.split()
    if "\\" not in line and (plain := _quoted_words(line)) is not None:
        return plain
    found = _LISTED.findall(line)
    return [_ESCAPE.sub(r"\1", word[1:-1]) if word[0] == '"' and len(word) > 1 and word[-1] == '"' else word
            for word in found]  # fmt: skip


def quoted(word: str) -> str:
    """The word as iptables-restore reads it back."""
    if _PLAIN.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def joined(words: list[str] | tuple[str, ...]) -> str:
    """The words as one line."""
    return " ".join(map(quoted, words))
