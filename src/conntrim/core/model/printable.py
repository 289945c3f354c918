"""Text from outside as it may be shown: nothing in it steers a terminal, hides, or turns the reading direction."""

from __future__ import annotations

import re

_CUT = " ... "


def shown(text: str) -> str:
    r"""The text with all that does not print spelt out: controls, line feeds too, bidi marks, bytes that are no text.

    `\x1b`, `\n`, `\u202e`; a byte that was no UTF-8 (a lone surrogate, PEP 383) as `\xe9`.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _spelt(c) for c in text)


def _spelt(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def shortened(text: str, longest: int) -> str:
    """At most so many characters: the beginning, and the end, where the advice stands; what is left out shows."""
    if len(text) <= longest:
        return text
    end = longest // 3
    return text[: longest - end - len(_CUT)] + _CUT + text[-end:]


def one_line(text: str, longest: int) -> str:
    """A message as one line of bounded length: what stood on several lines is joined."""
    # Cut before and after: spelling out makes a text up to ten times as long, and a message may hold a file.
    return shortened(shown("; ".join(shortened(text, 4 * longest).split("\n"))), longest)


_TICKS = re.compile(r"`+")


def longest_ticks(text: str) -> int:
    """The length of the longest run of backticks, which a code block of Markdown has to surpass."""
    return max(map(len, _TICKS.findall(text)), default=0)
