"""Lines of a save file to words and back, by iptables-restore's quoting: double quotes, backslash only inside them."""

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


def quoted(word: str) -> str:
    """The word as iptables-restore reads it back."""
    if _PLAIN.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def joined(words: list[str] | tuple[str, ...]) -> str:
    """The words as one line."""
    return " ".join(map(quoted, words))
