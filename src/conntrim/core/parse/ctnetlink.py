"""Blocks of a ctnetlink dump to flow tables, without a step per entry: one array view a column and message layout.

A block is whole netlink messages, as one or several reads brought them. Messages are found by the dump's sequence
number and the chain of their lengths; those of one length are gathered, and those whose attribute headers agree with a
known layout (`ctnetlink_layout.py`) become columns at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conntrim.core.model.address import MAPPED
from conntrim.core.model.conntrack import NO_STATE
from conntrim.core.model.flows import SHAPES, FlowTable, joined, table_of
from conntrim.core.parse.ctnetlink_layout import FAMILY_AT, Field, Form, Layout, layout_of

CT_NEW = 1 << 8
"""Message type: subsystem NFNL_SUBSYS_CTNETLINK, message IPCTNL_MSG_CT_NEW."""

NLMSG_ERROR, NLMSG_DONE, NLM_F_DUMP_INTR = 2, 3, 0x10
BYTEORDER = "little" if np.little_endian else "big"

ENTRY = np.uint32(CT_NEW | 2 << 16 if BYTEORDER == "little" else CT_NEW << 16 | 2)
"""The word of `nlmsg_type` and `nlmsg_flags` of an entry as a dump has it: NLM_F_MULTI and nothing else."""

SIDE_BY_SIDE = 16
"""Messages whose headers are compared as one."""

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint32]
Places = npt.NDArray[np.intp]
Column = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a block held: its entries, one table a layout; and what the kernel said beside them.

    `places` are where in the block the entries of each table stood, so that the dump's order can be had again. `done`
    tells that the dump ended, `error` is the kernel's error number or 0, `interrupted` that the table changed in a way
    that may have lost or doubled entries (NLM_F_DUMP_INTR), `malformed` counts messages that could not be read.
    """

    tables: tuple[FlowTable, ...]
    places: tuple[Places, ...] = ()
    done: bool = False
    error: int = 0
    interrupted: bool = False
    malformed: int = 0

    def in_order(self) -> FlowTable:
        """All entries as one table, in the order of the dump."""
        together = joined(self.tables)
        return together if len(self.tables) < 2 else together.taken(np.argsort(np.concatenate(self.places)))


@dataclass(frozen=True, slots=True)
class _Known:
    """A layout, and its headers as arrays: their places in 32-bit words, and the words there."""

    layout: Layout
    places: npt.NDArray[np.intp]
    pattern: Words

    @classmethod
    def of(cls, layout: Layout) -> _Known:
        """Prepare a layout for comparing."""
        places, pattern = zip(*layout.headers, strict=True) if layout.headers else ((), ())
        return cls(layout, np.array(places, np.intp) // 4, np.array(pattern, np.uint32))


class Decoder:
    """Decodes the blocks of one dump; it remembers the layouts it has met. `columns` names those to fill."""

    def __init__(self, columns: frozenset[str], seq: int) -> None:
        self._columns, self._seq = columns, np.uint32(seq)
        self._layouts: dict[int, list[_Known]] = {}

    def decode(self, block: Bytes) -> Decoded:
        """Decode whole messages, uint8[n] with n a multiple of 4."""
        words = block.view(np.uint32)
        starts = message_starts(words, self._seq)
        lengths, heads = words[starts], words[starts + 1]
        odd = np.flatnonzero(heads != ENTRY)
        if len(odd):
            kinds, flags = _kinds_and_flags(heads)
            entries = kinds == CT_NEW
            said = _Said.of(words, starts[~entries], kinds[~entries], flags)
            starts, lengths = starts[entries], lengths[entries]
        else:
            said = _Said()
        made: list[tuple[FlowTable, Places]] = []
        malformed = 0
        for length in np.flatnonzero(np.bincount(lengths)).tolist():
            places = starts[lengths == length]
            malformed += self._one_length(_gather(block, places, (length + 3) & ~3), places, made)
        tables, where = tuple(table for table, _ in made), tuple(places for _, places in made)
        return Decoded(tables, where, said.done, said.error, said.interrupted, malformed)

    def _one_length(self, rows: Bytes, places: Places, made: list[tuple[FlowTable, Places]]) -> int:
        """Decode messages of one length, uint8[n, length]; the number of those that could not be read."""
        layouts, malformed = self._layouts.setdefault(rows.shape[1], []), 0
        known = 0
        while len(rows):
            if known == len(layouts):
                try:
                    layouts.append(_Known.of(layout_of(rows[0].tobytes(), BYTEORDER)))
                except ValueError:
                    rows, places, malformed = rows[1:], places[1:], malformed + 1
                    continue
            fits = _fits(rows, layouts[known])
            if fits is None:
                made.append((_table(rows, layouts[known].layout, self._columns), places))
                break
            if fits.any():
                made.append((_table(rows[fits], layouts[known].layout, self._columns), places[fits]))
                rows, places = rows[~fits], places[~fits]
            known += 1
        return malformed


@dataclass(frozen=True, slots=True)
class _Said:
    """What the kernel said beside entries."""

    done: bool = False
    error: int = 0
    interrupted: bool = False

    @classmethod
    def of(cls, words: Words, starts: Places, kinds: Words, flags: Words) -> _Said:
        """From the messages that are no entries, and the flags of all."""
        final = starts[(kinds == NLMSG_ERROR) | (kinds == NLMSG_DONE)]
        return cls(
            bool((kinds == NLMSG_DONE).any()),
            next((n for n in (_error_number(words, start) for start in final.tolist()) if n), 0),
            bool((flags & NLM_F_DUMP_INTR).any()),
        )


def _kinds_and_flags(heads: Words) -> tuple[Words, Words]:
    """`nlmsg_type` and `nlmsg_flags` from the words that hold both."""
    halves = heads & np.uint32(0xFFFF), heads >> np.uint32(16)
    return halves if BYTEORDER == "little" else (halves[1], halves[0])


def message_starts(words: Words, seq: np.uint32) -> Places:
    """Where messages start, in 32-bit words; the lengths chain from the first to the end of the block.

    The sequence number may occur in a payload too: then, and only then, the chain is walked message by message.
    """
    starts = np.flatnonzero(words[2:] == seq)
    if len(starts):
        sizes = (words[starts] + np.uint32(3)) >> np.uint32(2)
        if starts[0] == 0 and starts[-1] + sizes[-1] == len(words) and bool((np.diff(starts) == sizes[:-1]).all()):
            return starts
    return np.fromiter(_walk(words), np.intp)


def _walk(words: npt.NDArray[np.uint32]) -> Iterator[int]:
    at = 0
    while at + 4 <= len(words):
        yield at
        at += max((int(words[at]) + 3) >> 2, 4)


def _error_number(words: Words, start: int) -> int:
    """The number in an NLMSG_ERROR, or in the NLMSG_DONE of a dump that failed half-way; 0 where all went well."""
    return abs(int(words[start + 4].view(np.int32))) if start + 4 < len(words) else 0


def _gather(block: Bytes, starts: Places, length: int) -> Bytes:
    """The messages at these starts, all of one length, as uint8[n, length]; a view where they lie side by side."""
    if len(starts) * length == len(block):
        return block.reshape(-1, length)
    overlapping = np.ndarray(((len(block) - length) // 4 + 1,), f"V{length}", block, strides=(4,))
    return overlapping[starts].view(np.uint8).reshape(-1, length)


def _strided(rows: Bytes, at: int, dtype: str) -> Column:
    """The values of `dtype` at byte `at` of every row, as a view."""
    return np.ndarray((len(rows),), dtype, rows, at, (rows.shape[1],))


def _fits(rows: Bytes, known: _Known) -> npt.NDArray[np.bool_] | None:
    """Which rows have exactly the attribute headers of the layout; None where all of them do, as nearly always."""
    words = rows.view(np.uint32)
    width, side = words.shape[1], len(words) // SIDE_BY_SIDE * SIDE_BY_SIDE
    # A word is the same in all rows if it is the same in their conjunction and their disjunction. NumPy goes row by
    # row; rows put side by side are fewer and longer.
    wide = words[:side].reshape(-1, SIDE_BY_SIDE * width)
    for logical in (np.bitwise_and, np.bitwise_or):
        both = np.concatenate([logical.reduce(wide, axis=0).reshape(-1, width), words[side:]])
        if (logical.reduce(both, axis=0)[known.places] != known.pattern).any():
            found: npt.NDArray[np.bool_] = (words[:, known.places] == known.pattern).all(axis=1)
            return found
    return None


def _table(rows: Bytes, layout: Layout, wanted: frozenset[str]) -> FlowTable:
    """Rows of one layout as a flow table."""
    filled: dict[str, Column] = {}
    if "family" in wanted:
        filled["family"] = _strided(rows, FAMILY_AT, "u1").copy()
    for field in layout.fields:
        if field.column in wanted:
            filled[field.column] = _column(rows, field, filled)
    if "state" in wanted and "state" not in filled:
        filled["state"] = np.broadcast_to(np.uint8(NO_STATE), len(rows))
    return table_of(len(rows), wanted, filled)


def _column(rows: Bytes, field: Field, filled: dict[str, Column]) -> Column:
    """One field of every row as its column."""
    dtype, width = SHAPES[field.column]
    if width == 2:
        return _addresses(rows, field)
    if field.form in (Form.TYPE, Form.CODE):
        half = _strided(rows, field.at, "u1").astype(np.uint16) << np.uint16(8 if field.form is Form.TYPE else 0)
        return half | filled[field.column] if field.column in filled else half  # type: ignore[operator]  # uint16
    spelling = {Form.U8: "u1", Form.U16: ">u2", Form.U32: ">u4", Form.U64: ">u8"}[field.form]
    return _strided(rows, field.at, spelling).astype(dtype)


def _addresses(rows: Bytes, field: Field) -> Column:
    """An address column, uint64[n, 2], high half first."""
    column = np.empty((len(rows), 2), np.uint64)
    if field.form is Form.V4:
        column[:, 0] = 0
        column[:, 1] = _strided(rows, field.at, ">u4")
        column[:, 1] |= np.uint64(MAPPED)
    else:
        column[:, 0] = _strided(rows, field.at, ">u8")
        column[:, 1] = _strided(rows, field.at + 8, ">u8")
    return column
