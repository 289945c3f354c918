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


_LISTED = re.compile(r'"(?:[^"\\]|\\.)*"(?=\s|$)|\S+')


def split_listed(line: str) -> list[str]:
    """The words of a line that a save program printed: a quote that does not begin a word is part of it."""
    if '"' not in line:
        return line.split()
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
