"""A saved conntrack table, in any of its text forms, to flow tables: fed in pieces, so that its size does not matter.

`/proc/net/nf_conntrack`, `/proc/net/ip_conntrack` of 2.6 (also wrapped over several lines, as mail and web pages do),
`conntrack -L` with and without `-o extended`. Nobody says which it is: each entry tells by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from conntrim.core.model.address import MAPPED, format_address
from conntrim.core.model.errors import InputError
from conntrim.core.model.flows import ALL_COLUMNS, SHAPES, FlowTable, joined, table_of
from conntrim.core.parse.conntrack_columns import BEFORE, Group, Piece
from conntrim.core.parse.conntrack_line import HEAD, BadEntryError, parse_entry
from conntrim.core.parse.conntrack_logical import WHOLE, Logical, Told, goes_on, logical, starts
from conntrim.core.parse.conntrack_unread import BadLine, BadLines, what_else
from conntrim.core.parse.conntrack_words import Mask
from conntrim.core.parse.conntrack_xml import END, XML, lines_of

LOOKED_AT = 1000
"""A file whose first so many lines hold no entry is no conntrack table."""

LOOKED_INTO = 4096
"""Bytes in which the signs of other formats are looked for."""

MOST_LEFT = 1 << 18
"""Bytes of one entry; a file of other things might have no end of a line at all."""

BLANK = 1 << 16
"""Bytes of nothing but white space that no listing has in a row; compressed, 600 MB of them are a small file."""

MOST_BAD = 100_000
"""Bad lines after which a file that has more of them than entries is read no further."""

MOST_NAMES = 6
"""Names in addresses' places that are told."""

ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
ADVICE = "wanted: /proc/net/nf_conntrack, /proc/net/ip_conntrack or the output of conntrack -L"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Whole logical lines, and the usual ones among them; `piece` is None where there is nothing."""

    data: bytes
    piece: Piece | None
    groups: tuple[Group, ...]


def prepare(parts: Sequence[bytes | memoryview]) -> Prepared:
    """The part of the work that needs nothing but the text, in `parts`: most of it, and threads may share it."""
    data = b"".join((bytes(BEFORE), *parts))
    if len(data) == BEFORE:
        return Prepared(b"", None, ())
    if not data.endswith(b"\n"):
        data += b"\n"
    piece = Piece(np.frombuffer(data, np.uint8))
    return Prepared(data[BEFORE : BEFORE + LOOKED_INTO], piece, tuple(piece.usual()))


class TextTable:
    """Reads one saved table; `source` is its name in errors, `columns` what is wanted of it."""

    def __init__(self, source: str, columns: frozenset[str] = ALL_COLUMNS) -> None:
        self.source, self.columns, self.entries = source, columns, 0
        self._line, self._left, self._begun, self._xml = 0, b"", False, False
        self._told, self._bad, self._untyped = Told(), BadLines(), False
        self._names: dict[str, int] = {}

    def feed(self, text: bytes, *, last: bool = False) -> FlowTable:
        """Read the next part; the entries that are complete by now. InputError where this is no conntrack table."""
        return joined(self.take(prepare(self.cut(text, last=last)), last=last))

    def cut(self, text: bytes, *, last: bool, torn: bool = False) -> tuple[bytes | memoryview, ...]:
        """The next part, in pieces, cut where an entry ends; what is left of it comes with the next one.

        `torn`: the text breaks off, so a last line without its line feed is not all there.
        """
        if not self._begun:
            text, self._begun = self._first(text), True
            self._xml = bool(XML.match(text))
        if any(text[at : at + BLANK].isspace() for at in range(0, len(text) - BLANK + 1, BLANK)):
            raise InputError(self.source, f"{BLANK >> 10} KiB of white space in a row", advice=ADVICE)
        if self._xml:
            return self._cut_xml(text, last=last and not torn)
        if torn:
            text, self._left = self._left + text, b""
            text = text[: text.rfind(b"\n") + 1]
        # Whether an entry goes on after its line feed shows only when the next one starts.
        end = len(text) if last else _last_head(text)
        if not end and not last:
            if len(self._left) + len(text) <= MOST_LEFT:
                self._left += text
                return ()
            end = len(text)
        before, self._left = self._left, text[end:]
        return before, memoryview(text)[:end]

    def _cut_xml(self, text: bytes, *, last: bool) -> tuple[bytes]:
        """The flows that are complete, as lines."""
        text = self._left + text
        end = text.rfind(END)
        end = end + len(END) if end >= 0 else 0
        if last or (not end and len(text) > MOST_LEFT):
            end = len(text)
        self._left, self._untyped = text[end:].removeprefix(b"\n"), self._untyped or b'protoname="icmp' in text
        return (lines_of(text[:end]),)

    def take(self, prepared: Prepared, *, last: bool) -> list[FlowTable]:
        """The entries of a part that was cut and prepared, in the order of the file."""
        tables = list(self._tables(prepared))
        self.entries += sum(map(len, tables))
        if not self.entries and (last or self._line >= LOOKED_AT):
            raise self._refusal(prepared.data)
        return tables

    def _first(self, piece: bytes) -> bytes:
        """Check and strip what only the beginning of a file can have."""
        for mark, name in ENCODINGS.items():
            if piece.startswith(mark):
                raise InputError(self.source, f"this is {name} text", advice="convert it: iconv -f utf-16 -t utf-8")
        if b"\0" in piece[:LOOKED_INTO]:
            raise InputError(self.source, "this is a binary file, no conntrack table", advice=ADVICE)
        return piece.removeprefix(b"\xef\xbb\xbf")

    def _tables(self, prepared: Prepared) -> Iterator[FlowTable]:
        """The usual lines at once, the others one by one."""
        piece, groups = prepared.piece, prepared.groups
        if piece is None:
            return
        usual = np.zeros(len(piece.ends), np.bool_)
        for lines, _ in groups:
            usual[lines] = True
        if len(usual) - int(usual.sum()) > MOST_BAD:  # lines of 20 bytes on average: no wrapping makes such
            self._unread(self._line + int(np.argmin(usual)) + 1, "no conntrack entry")
            raise self._refusal(prepared.data)
        rows = list(self._entries(self._unusual(piece, usual)))
        for lines, columns in groups:
            kept, wanted = usual[lines], columns.keys() & self.columns
            if kept.all():
                yield table_of(len(lines), self.columns, {name: columns[name] for name in wanted})
            else:
                yield table_of(int(kept.sum()), self.columns, {name: columns[name][kept] for name in wanted})
        yield _table(rows, self.columns)
        self._line += len(piece.ends)

    def _unusual(self, piece: Piece, usual: Mask) -> list[tuple[int, bytes]]:
        """Number and text of the lines that are not usual, nor any that one of them goes on from: those are taken out
        of `usual`.
        """
        found: list[tuple[int, bytes]] = []
        for i in np.flatnonzero(~usual).tolist():
            line = piece.line(i)
            if i and usual[i - 1] and goes_on(line.lstrip(b"> \t")):
                usual[i - 1] = False
                found.append((i - 1, piece.line(i - 1)))
            found.append((i, line))
        return found

    def _entries(self, lines: list[tuple[int, bytes]]) -> Iterator[dict[str, int]]:
        """The entries of lines, which may go on in the following line; bad ones are noted."""
        for each in logical(((self._line + i + 1, line) for i, line in lines), self._told):
            if HEAD.match(each.lines[0]):
                yield from self._entry(each)
            else:
                self._unread(each.number, "no conntrack entry")

    def _entry(self, entry: Logical) -> Iterator[dict[str, int]]:
        """One entry; lines that went wrong after a whole one cost only themselves."""
        try:
            yield parse_entry(entry.text, self._names)
        except BadEntryError as error:
            whole = next((i for i, line in enumerate(entry.lines[:-1], 1) if WHOLE.search(b" " + line)), 0)
            try:
                if whole:
                    yield parse_entry(b" ".join(entry.lines[:whole]), self._names)
            except BadEntryError:
                whole = 0
            self._unread(entry.number + whole, *(("no conntrack entry",) if whole else (str(error), error.kind)))

    def _unread(self, line: int, why: str, kind: str = "") -> None:
        self._bad.add(BadLine(line, why), kind or why)
        if self.bad_lines > MOST_BAD and self.bad_lines > self.entries:
            message = f"not a conntrack table: {self.bad_lines:,} lines are no entries"
            raise InputError(self.source, message, advice=ADVICE)

    def _refusal(self, data: bytes) -> InputError:
        if self._xml and not self.bad_lines:
            return InputError(self.source, "this is conntrack -L -o xml without a flow: no entries", advice=ADVICE)
        if self._told.entries == 0 and not self.bad_lines:
            return InputError(self.source, "conntrack showed 0 entries: the table was empty", advice=ADVICE)
        if not self._line and not self.bad_lines:
            return InputError(self.source, "the file is empty: no entries to count", advice=ADVICE)
        place = self._bad.commonest() or BadLine(1, "no conntrack entry")
        message = f"not a conntrack table: {what_else(data) or place.why}"
        return InputError(self.source, message, line=place.line, advice=ADVICE)

    @property
    def bad_lines(self) -> int:
        """Lines that could not be read."""
        return self._bad.count

    @property
    def incomplete(self) -> bool:
        """Whether conntrack counted more entries than are here, or said that it failed."""
        return self.missing > 0 or bool(self._told.failed)

    @property
    def missing(self) -> int:
        """How many entries conntrack itself counted that are not here; below 0 where there are more."""
        return 0 if self._told.entries is None else self._told.entries - self.entries

    @property
    def remarks(self) -> tuple[str, ...]:
        """What conntrack's own count says, and the bad lines with their places, in words."""
        return (*self._difference(), *self._bad.remarks(self.source))

    def _difference(self) -> Iterator[str]:
        """Of the listing as a whole."""
        if self.missing:
            said = f"{self.source}: conntrack showed {self._told.entries:,} entries, {self.entries:,} are read here"
            yield said + (": the others are missing" if self.missing > 0 else "")
        if self._told.failed:
            yield f"{self.source}: conntrack itself failed: {self._told.failed}"
        if self._names:
            shown = ", ".join(f"{name} is {format_address(n)}" for name, n in list(self._names.items())[:MOST_NAMES])
            yield f"{self.source}: names stand for addresses: {shown}{', ...' * (len(self._names) > MOST_NAMES)}"
        if self._untyped:
            yield f"{self.source}: XML does not hold the type of ICMP: it is shown as 0"


def _last_head(data: bytes) -> int:
    """Where the last entry starts: what stands before it is complete."""
    end = len(data)
    while (newline := data.rfind(b"\n", 0, end)) >= 0 and newline > len(data) - MOST_LEFT:
        if starts(data, newline + 1):
            return newline + 1
        end = newline
    return len(data) if len(data) > MOST_LEFT else 0


def _table(rows: list[dict[str, int]], columns: frozenset[str]) -> FlowTable:
    """Entries as columns; a column that no entry has takes no memory."""
    present = {name for row in rows for name in row} & columns
    return table_of(len(rows), columns, {name: _column(rows, name) for name in present})


def _column(rows: list[dict[str, int]], name: str) -> npt.NDArray[Any]:
    dtype, width = SHAPES[name]
    if width == 1:
        return np.array([row.get(name, 0) for row in rows], dtype)
    halves = [divmod(row.get(name, MAPPED), 1 << 64) for row in rows]
    return np.array(halves, dtype).reshape(-1, 2)
