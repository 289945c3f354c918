"""The fast way through a saved table: the usual lines, all of one piece at once.

A usual line is a TCP or UDP entry on one line, over IPv4 or, in the kernel's own listing, IPv6. Its fields are found
from the places of its `=` and line feeds alone: the bytes before each `=`, which hold its key and the value before
that, are gathered into an array of fixed width, and read from there (`conntrack_usual.py`). Every byte between the
fields is checked; a line that differs in anything from what is expected is left to `conntrack_line.py`, which says the
same of the usual ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from conntrim.core.parse.conntrack_usual import Lines, read_usual
from conntrim.core.parse.conntrack_words import Bytes, Mask, Places, Text, ends_with

Group = tuple[Places, dict[str, npt.NDArray[Any]]]
"""Numbers of lines, and their columns."""

BEFORE = 48
"""Bytes that must stand before a piece, so that as many bytes before any place can be read."""

TUPLE = (b" src", b" dst", b" sport", b" dport")
COUNTERS = (b" packets", b" bytes")
TAIL = frozenset({b" mark", b" use", b" zone", b" secctx", b" delta-time"})
"""Keys of usual lines; those of the tail may be there or not, in any order. Only `mark` and `zone` are of interest."""

LEAST_KEYS = 8
"""Of the two tuples."""

V6 = 64
"""Added to a line's number of keys to keep the two families apart: more keys than any line has."""

MOST_SHAPES = 16
"""Sequences of keys with the same number of keys that are looked for in a piece."""


class Piece(Text):
    """A piece of text: whole lines, each with its line feed, with `BEFORE` bytes of anything in front."""

    def __init__(self, data: Bytes) -> None:
        super().__init__(data)
        self.ends = np.flatnonzero(data[BEFORE:] == ord("\n")) + BEFORE
        self.starts = np.concatenate([[BEFORE], self.ends[:-1] + 1])[: len(self.ends)]

    def line(self, index: int) -> bytes:
        """One line without its line feed."""
        return self.data[self.starts[index] : self.ends[index]].tobytes()

    def usual(self) -> Iterator[Group]:
        """The usual lines, group by group: their numbers from 0, and their columns."""
        equals = np.flatnonzero(self.data == ord("="))
        first = np.searchsorted(equals, self.starts)
        counts = np.diff(np.append(first, len(equals)))
        counts[(counts < LEAST_KEYS) | (counts >= V6)] = 0
        v6 = self._say_v6() & (counts > 0)
        counts[v6] += V6
        for count in np.flatnonzero(np.bincount(counts)).tolist():
            if count:
                lines = np.flatnonzero(counts == count)
                yield from self._same_number(lines, equals, first[lines], count)

    def _same_number(self, lines: Places, equals: Places, first: Places, count: int) -> Iterator[Group]:
        """The usual ones among lines with the same number of keys; `first` is which of `equals` is their first."""
        keys = count % V6
        for _ in range(MOST_SHAPES):
            if not len(lines):
                return
            names = self._keys(self.starts[lines[0]], equals[first[0] : first[0] + keys].tolist())
            columns = _layout(names)
            if columns is None:
                # Others may be usual: leave out those that are like this one.
                same = self._have_keys(equals, first, names)
            else:
                these = Lines(self, self.starts[lines], self.ends[lines], equals, first)
                same, good, values = read_usual(these, names, columns, v6=count >= V6)
                whole = bool(good.all())
                yield (lines, values) if whole else (lines[good], {name: v[good] for name, v in values.items()})
            lines, first = lines[~same], first[~same]

    def _have_keys(self, equals: Places, first: Places, keys: list[bytes]) -> Mask:
        """Which lines have these keys."""
        same = np.ones(len(first), np.bool_)
        for i, key in enumerate(keys):
            same &= ends_with(self.before(equals[first + i], BEFORE), key[-BEFORE:])
        return same

    def _say_v6(self) -> Mask:
        """Which lines say at their start that they are IPv6, as the kernel's listings do."""
        return ends_with(self.before(np.minimum(self.starts + 8, self.ends), 8), b"ipv6    ")

    def _keys(self, start: int, places: list[int]) -> list[bytes]:
        """The keys of one line, each with the blank before it; a flag before a key is no part of it."""
        line, keys = self.data[start : places[-1]].tobytes(), []
        for place in places:
            head = line[: place - start]
            keys.append(head[max(head.rfind(b" "), 0) :])
        return keys


def _layout(keys: list[bytes]) -> dict[str, int] | None:
    """Column to the index of its key, None where the keys are not those of a usual line."""
    columns: dict[str, int] = {}
    at = 0
    for prefix in ("", "reply_"):
        for wanted in (TUPLE, COUNTERS):
            if tuple(keys[at : at + len(wanted)]) == wanted:
                columns |= {prefix + key.decode().strip(): at + i for i, key in enumerate(wanted)}
                at += len(wanted)
            elif wanted is TUPLE:
                return None
    if not set(keys[at:]) <= TAIL or len(set(keys[at:])) < len(keys[at:]):
        return None
    return columns | {key.decode().strip(): at + i for i, key in enumerate(keys[at:])}
