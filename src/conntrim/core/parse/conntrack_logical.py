"""Lines of a saved table to whole entries: what copying, mailing and terminals did to the listing is undone here.

Taken off are quoting, the line numbers of `cat -n` and `grep -n`, prompts, and the messages of conntrack that fell into
the middle of a line; joined are lines that were wrapped, with a backslash or without.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from conntrim.core.parse.conntrack_line import HEAD, BadEntryError, parse_entry

GOES_ON = re.compile(rb"\s*(?:[a-z][a-z0-9_-]*=|\[(?!(?:NEW|UPDATE|DESTROY)\])[A-Z][A-Z0-9_]*[] ])")
"""How a wrapped entry goes on: a key, a flag."""

EARLY = re.compile(rb"\s*(?:[A-Z][A-Z_0-9]+\s|\d+\s)")
"""How it goes on as long as no key was seen: a state, a number."""

MESSAGE = re.compile(
    rb"conntrack v\d[\d.]* \(conntrack-tools\): ?(?:(\d{1,18}) flow entries have been shown\.?|[^\n]*)"
    rb"|nfct_labelmap_new: [^\n]*"
)
"""What `conntrack` says on standard error: `-L` how many entries it showed, at the end."""

SHOWN = 120
"""Letters of a failure that are repeated."""

_QUOTE = rb"[ \t]{0,80}+(?:[>|][ \t]?){0,16}+"
_NUMBER = rb"[ \t]{0,16}+(\d{1,9})(?:[:\t]|(?= ))"
QUOTE, NUMBERED = re.compile(_QUOTE), re.compile(_NUMBER)
DRESS = re.compile(_QUOTE + rb"(?:" + _NUMBER + rb"|[^=\n]{0,64}?[#$%>])?(?=" + HEAD.pattern + rb")")
"""What may stand before an entry's first line: quoting, a line number, a prompt: all bounded, as lines may be long."""

PROMPT = re.compile(
    rb"[^=\n]{0,64}?[#$%>] *(?:(?:sudo )?(?:\S{0,80}/)?(?:conntrack|z?cat|head|tail|grep|sort|less) .*)?$"
)
"""A line with nothing but a prompt, or with the command that printed the table."""

WHOLE = re.compile(rb" use=\d+(?:\s|$)")
"""The last word that every listing has: the entry is all there."""


@dataclass(frozen=True, slots=True)
class Logical:
    """The lines of one entry, or one line that belongs to none; `number` is that of the first."""

    number: int
    lines: tuple[bytes, ...]

    @property
    def text(self) -> bytes:
        """The lines as one."""
        return b" ".join(self.lines)


@dataclass(slots=True)
class Told:
    """What conntrack said about its own listing: the sum of its counts, None where it said none; that it failed."""

    entries: int | None = None
    failed: str = ""

    def hear(self, message: re.Match[bytes]) -> None:
        """Add up: a file may hold several listings."""
        if message[1]:
            self.entries = (self.entries or 0) + int(message[1])
        elif b" failed" in message[0]:
            self.failed = message[0].partition(b": ")[2][:SHOWN].decode("ascii", "replace").strip()


def starts(data: bytes, at: int = 0) -> bool:
    """Whether an entry starts there, whatever stands before it."""
    return bool(HEAD.match(data, at) or DRESS.match(data, at))


def goes_on(line: bytes, *, early: bool = False) -> bool:
    """Whether the line goes on with an entry, `early` with one of which no key was seen."""
    line += b" "
    return not starts(line) and bool(GOES_ON.match(line) or (early and EARLY.match(line)))


def logical(lines: Iterable[tuple[int, bytes]], told: Told) -> Iterator[Logical]:
    """Numbered lines, some of which may be missing, as entries and strays; `told` hears conntrack's own messages."""
    entry: list[bytes] = []
    start, previous, offset, wrapped, early = 0, -1, None, False, True
    for number, line in _without_messages(lines, told):
        text, head = _bare(line, number, offset)
        after = bool(entry) and number == previous + 1
        if head or (after and (wrapped or goes_on(text, early=early))):
            wrapped = text.rstrip().endswith(b"\\")
            if head:
                if entry:
                    yield Logical(start, tuple(entry))
                entry, start, offset, early = [], number, _offset(line, number), True
            entry.append(text.rstrip().removesuffix(b"\\") if wrapped else text)
            early &= b"src=" not in text
        elif text.strip() and not PROMPT.match(line):
            yield Logical(number, (line,))
        previous = number
    if entry:
        yield Logical(start, tuple(entry))


def _bare(line: bytes, number: int, offset: int | None) -> tuple[bytes, bool]:
    """The line without what stands before its entry, and whether one starts there; `offset` is how far the numbers
    printed before the lines are ahead of the file's own.
    """
    if HEAD.match(line):
        return line, True
    if dress := DRESS.match(line):
        return line[dress.end() :], True
    quote = QUOTE.match(line)
    text = line[quote.end() :] if quote else line
    numbered = NUMBERED.match(text)
    if numbered and offset is not None and int(numbered[1]) == number + offset:
        text = text[numbered.end() :]
    return text, False


def _offset(line: bytes, number: int) -> int | None:
    """How far the number printed before a line is ahead of the file's own, None where there is none."""
    quote = QUOTE.match(line)
    numbered = None if HEAD.match(line) else NUMBERED.match(line, quote.end() if quote else 0)
    return int(numbered[1]) - number if numbered else None


def _without_messages(lines: Iterable[tuple[int, bytes]], told: Told) -> Iterator[tuple[int, bytes]]:
    """The lines without conntrack's messages; what such a message tore apart is one line again, if it is an entry."""
    torn: tuple[int, bytes] | None = None
    for number, line in lines:
        if torn:
            if torn[0] + 1 == number and _reads(torn[1] + line):
                yield torn[0], torn[1] + line
                torn = None
                yield number, b""
                continue
            yield torn
            torn = None
        message = MESSAGE.search(line)
        if not message:
            yield number, line
            continue
        told.hear(message)
        before, rest = line[: message.start()], line[message.end() :]
        if _reads(before + rest) or not before.strip():
            yield number, before + rest
        elif _reads(before) or rest.strip():
            yield number, before
            yield number, rest
        else:
            torn = number, before
    if torn:
        yield torn


def _reads(line: bytes) -> bool:
    """Whether the line is an entry, all of it."""
    try:
        parse_entry(_bare(line, 0, None)[0])
    except BadEntryError:
        return False
    return bool(WHOLE.search(line))
