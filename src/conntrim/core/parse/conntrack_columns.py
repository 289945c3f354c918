"""The fast way through a saved table: the usual lines, all of one piece at once.

A usual line is a TCP or UDP entry on one line, over IPv4 or, in the kernel's own listing, IPv6. Its fields are found
from the places of its `=`, `.` and line feeds alone, and its numbers are read eight digits at a time. Every byte
between the fields is checked; a line that differs in anything from what is expected is left to `conntrack_line.py`,
which says the same of the usual ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from conntrim.core.model.address import MAPPED, Family
from conntrim.core.model.conntrack import NO_STATE, Status, TcpState
from conntrim.core.model.flows import SHAPES
from conntrim.core.model.protocol import Protocol

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
Group = tuple[Places, dict[str, npt.NDArray[Any]]]
"""Numbers of lines, and their columns."""

BEFORE = 8
"""Bytes that must stand before a piece, so that eight bytes before any place can be read."""

PREFIXES: tuple[tuple[bytes, int], ...] = (
    (b"ipv4     2 tcp      6 ", Protocol.TCP), (b"ipv4     2 udp      17 ", Protocol.UDP),
    (b"ipv6     10 tcp      6 ", Protocol.TCP), (b"ipv6     10 udp      17 ", Protocol.UDP),
    (b"tcp      6 ", Protocol.TCP), (b"udp      17 ", Protocol.UDP),
)  # fmt: skip
"""How usual lines start, up to the time-out."""

TUPLE = (b" src", b" dst", b" sport", b" dport")
COUNTERS = (b" packets", b" bytes")
TAIL = frozenset({b" mark", b" use", b" zone", b" secctx", b" delta-time"})
"""Keys of usual lines; those of the tail may be there or not, in any order. Only `mark` and `zone` are of interest."""

DOTS = 12
"""Of four IPv4 addresses."""

V6 = 64
FULL_V6 = 39
"""Characters of an IPv6 address as the kernel prints it, without abbreviation."""

HEX = np.full(256, 16, np.uint64)
"""The value of a hexadecimal digit, 16 for every other character."""
HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
SHIFTS, NIBBLES = np.array([0, 8, 16, 24], np.uint64), np.array([12, 8, 4, 0], np.uint64)


def _word(text: bytes) -> tuple[np.uint64, np.uint64]:
    """The last eight bytes or fewer of a text as the end of a little-endian word, and a mask for them."""
    text = text[-8:]
    shift = 64 - 8 * len(text)
    return np.uint64(int.from_bytes(text, "little") << shift), np.uint64((1 << 64) - (1 << shift))


ASSURED, UNREPLIED = b" [ASSURED]", b" [UNREPLIED]"
STATES = tuple((b" " + state.name.encode(), state) for state in TcpState)
BIG = ("packets", "bytes", "reply_packets", "reply_bytes")
LARGEST = {"mark": 0xFFFFFFFF} | dict.fromkeys(BIG, 1 << 63)
LARGEST |= dict.fromkeys(("sport", "dport", "reply_sport", "reply_dport", "zone"), 0xFFFF)
LARGEST["use"] = 0xFFFFFFFF
ADDRESSES = ("src", "dst", "reply_src", "reply_dst")
LEAST_OCTET = np.array([0, 0, 10, 100], np.uint64)
"""By the number of digits: an octet does not start with zeros."""

HIGH_HALVES = np.uint64(0xF0F0F0F0F0F0F0F0)

LEAST_KEYS = 8
"""Of the two tuples."""

MOST_SHAPES = 16
"""Sequences of keys with the same number of keys that are looked for in a piece."""

FIRST_DIGITS = np.array([0] + [(1 << 64) - (1 << 64 - 8 * n) for n in range(1, 9)], np.uint64)
"""By the number of digits: the mask of a word's last so many bytes."""


class Piece:
    """A piece of text: whole lines, each with its line feed, with `BEFORE` bytes of anything in front."""

    def __init__(self, data: Bytes) -> None:
        self.data = data
        self._words = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))
        self.ends = np.flatnonzero(data[BEFORE:] == ord("\n")) + BEFORE
        self.starts = np.concatenate([[BEFORE], self.ends[:-1] + 1])[: len(self.ends)]

    def line(self, index: int) -> bytes:
        """One line without its line feed."""
        return self.data[self.starts[index] : self.ends[index]].tobytes()

    def before(self, places: Places) -> Words:
        """The eight bytes before each place."""
        words: Words = self._words[places - 8]
        return words

    def ends_with(self, places: Places, text: bytes) -> Mask:
        """Whether this text stands right before each place."""
        word, mask = _word(text)
        found: Mask = (self.before(places) & mask) == word
        if len(text) > 8 and found.any():
            found &= self.ends_with(np.maximum(places - 8, BEFORE), text[:-8])
        return found

    def numbers(self, starts: Places, ends: Places, good: Mask) -> Words:
        """The decimal numbers from `starts` to `ends`, of one to eight digits; `good` is cleared where it is none."""
        sizes = ends - starts
        good &= (sizes > 0) & (sizes <= 8)
        mask = FIRST_DIGITS[np.where(good, sizes, 0)]
        digits = self.before(ends) & mask
        tens = digits + (np.uint64(0x0606060606060606) & mask)
        # A digit is 0x3N, and still so with six added.
        high = digits & HIGH_HALVES | (tens & HIGH_HALVES) >> np.uint64(4)
        good &= high == (np.uint64(0x3333333333333333) & mask)
        digits &= np.uint64(0x0F0F0F0F0F0F0F0F)
        # Pairs, then fours, then eights: each step adds ten (a hundred, ten thousand) times the earlier half.
        digits = (digits * np.uint64(2561)) >> np.uint64(8) & np.uint64(0x00FF00FF00FF00FF)
        digits = (digits * np.uint64(6553601)) >> np.uint64(16) & np.uint64(0x0000FFFF0000FFFF)
        return (digits * np.uint64(42949672960001)) >> np.uint64(32)

    def long_numbers(self, starts: Places, ends: Places, good: Mask) -> Words:
        """The same of one to sixteen digits."""
        middle = np.maximum(starts, ends - 8)
        low = self.numbers(middle, ends, good)
        long = np.flatnonzero(middle > starts)
        if len(long):
            fine = good[long]
            low[long] += self.numbers(starts[long], middle[long], fine) * np.uint64(10**8)
            good[long] = fine
        return low

    def blankless(self, starts: Places, ends: Places) -> Mask:
        """Whether there is no blank between."""
        blanks = np.flatnonzero(self.data == ord(" "))
        found: Mask = np.searchsorted(blanks, starts) == np.searchsorted(blanks, ends)
        return found

    def usual(self) -> Iterator[Group]:
        """The usual lines, group by group: their numbers from 0, and their columns."""
        equals, dots = (np.flatnonzero(self.data == ord(sign)) for sign in "=.")
        first_equal, first_dot = np.searchsorted(equals, self.starts), np.searchsorted(dots, self.starts)
        counts = np.diff(np.append(first_equal, len(equals)))
        dotted = np.diff(np.append(first_dot, len(dots)))
        v6 = (dotted == 0) & self._starts_with_v6()
        counts[(dotted != DOTS) & ~v6] = 0
        # The two families are apart: 64 keys more than any line has.
        counts[v6 & (counts > 0)] += V6
        for count in np.flatnonzero(np.bincount(counts)[LEAST_KEYS:]).tolist():
            count += LEAST_KEYS  # noqa: PLW2901  # the count was shifted for bincount
            left, mapped = np.flatnonzero(counts == count), count < V6
            count -= 0 if mapped else V6  # noqa: PLW2901
            for _ in range(MOST_SHAPES):
                if not len(left):
                    break
                places = equals[first_equal[left] + np.arange(count)[:, None]]
                keys = self._keys(self.starts[left[0]], places[:, 0].tolist())
                same = self._have_keys(places, keys)
                chosen = left[same]
                if len(chosen) and (columns := _layout(keys)) is not None:
                    between = dots[first_dot[chosen] + np.arange(DOTS)[:, None]] if mapped else None
                    group = _Group(self, chosen, places[:, same], between)
                    yield group.read(columns, keys)
                left = left[~same]

    def _starts_with_v6(self) -> Mask:
        """Which lines say at their start that they are IPv6, as the kernel's listings do."""
        found: Mask = (self.before(np.minimum(self.starts + 8, self.ends))) == _word(b"ipv6    ")[0]
        return found

    def _keys(self, start: int, places: list[int]) -> list[bytes]:
        """The keys of one line, each with the blank before it; a flag before a key is no part of it."""
        line, keys = self.data[start : places[-1]].tobytes(), []
        for place in places:
            head = line[: place - start]
            keys.append(head[max(head.rfind(b" "), 0) :])
        return keys

    def _have_keys(self, places: Places, keys: list[bytes]) -> Mask:
        """Which lines have these keys; places are int64[keys, lines]."""
        same = np.ones(places.shape[1], np.bool_)
        for key, place in zip(keys, places, strict=True):
            same &= self.ends_with(place, key)
        return same


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


class _Group:
    """Lines with the same keys: their numbers, the places of each `=` (int64[keys, lines]) and, for IPv4, each dot."""

    def __init__(self, piece: Piece, lines: Places, equals: Places, dots: Places | None) -> None:
        self._piece, self._lines, self._equals, self._dots = piece, lines, equals, dots
        self._good = np.ones(len(lines), np.bool_)
        self._status = np.full(len(lines), Status.CONFIRMED | Status.SEEN_REPLY, np.uint32)
        self._values: dict[str, npt.NDArray[Any]] = {}

    def read(self, columns: dict[str, int], keys: list[bytes]) -> Group:
        """The numbers of the good lines, and their columns."""
        value_ends = self._value_ends(columns, keys)
        self._head(self._equals[0] - len(keys[0]))
        for i, name in enumerate(ADDRESSES):
            start, end = self._equals[columns[name]] + 1, value_ends[columns[name]]
            if self._dots is None:
                self._values[name] = self._full_v6(start, end)
            else:
                self._values[name] = self._address(self._dots[3 * i : 3 * i + 3], start, end)
        for name, index in columns.items():
            start, end = self._equals[index] + 1, value_ends[index]
            if name in LARGEST:
                number = self._piece.long_numbers(start, end, self._good)
                self._good &= number <= LARGEST[name]
                if name in SHAPES:
                    self._values[name] = number.astype(SHAPES[name][0])
            elif name not in ADDRESSES:
                self._good &= self._piece.blankless(start, end)
        self._nat()
        family = Family.IPV6 if self._dots is None else Family.IPV4
        values = self._values | {"status": self._status, "family": np.full(len(self._lines), family, np.uint8)}
        return self._lines[self._good], {name: column[self._good] for name, column in values.items()}

    def _value_ends(self, columns: dict[str, int], keys: list[bytes]) -> list[Places]:
        """Where each value ends: before the next key, or before the flag in front of it, which is read here."""
        ends = [place - len(key) for place, key in zip(self._equals[1:], keys[1:], strict=True)]
        after_tuples = max(i for name, i in columns.items() if name.startswith("reply_"))
        for index, flag, set_, cleared in (
            (columns["reply_src"] - 1, UNREPLIED, Status(0), Status.SEEN_REPLY),
            (after_tuples, ASSURED, Status.ASSURED, Status(0)),
        ):
            if index < len(ends):
                there = self._piece.ends_with(ends[index], flag)
                ends[index] = ends[index] - there * len(flag)
                self._status[there] = self._status[there] & ~np.uint32(cleared) | np.uint32(set_)
        last = self._piece.ends[self._lines]
        return [*ends, last - (self._piece.data[last - 1] == ord(" "))]

    def _head(self, end: Places) -> None:
        """Protocol, time-out and state, from the line's start to the blank before `src=`."""
        starts, piece = self._piece.starts[self._lines], self._piece
        state, size = np.full(len(end), NO_STATE, np.uint8), np.zeros(len(end), np.int64)
        for name, code in STATES:
            there = piece.ends_with(end, name)
            state[there], size[there] = code, len(name)
        protocol, prefix = np.zeros(len(end), np.uint8), np.zeros(len(end), np.int64)
        for text, number in PREFIXES:
            there = (protocol == 0) & piece.ends_with(np.minimum(starts + len(text), end), text)
            protocol[there], prefix[there] = number, len(text)
        self._good &= (protocol != 0) & ((protocol == Protocol.TCP) == (state != NO_STATE))
        timeout = piece.numbers(starts + prefix, end - size, self._good)
        self._values |= {"protocol": protocol, "state": state, "timeout": timeout.astype(np.uint32)}

    def _address(self, dots: Places, start: Places, end: Places) -> Words:
        """An IPv4 address from its three dots, as uint64[n, 2]."""
        address = np.zeros(len(start), np.uint64)
        for first, last in zip((start, *(dots + 1)), (*dots, end), strict=True):
            self._good &= last - first <= 3
            octet = self._piece.numbers(first, last, self._good)
            self._good &= (octet <= 255) & (octet >= LEAST_OCTET[np.clip(last - first, 0, 3)])
            address = address << np.uint64(8) | octet
        return np.column_stack([np.zeros_like(address), address | np.uint64(MAPPED)])

    def _full_v6(self, start: Places, end: Places) -> Words:
        """An IPv6 address in the kernel's own spelling, eight groups of four digits, as uint64[n, 2]."""
        self._good &= end - start == FULL_V6
        halves = []
        for half in (0, 4):
            value = np.zeros(len(start), np.uint64)
            for group in range(half, half + 4):
                at = np.minimum(start + 5 * group + 4, end)
                word = self._piece.before(at) >> np.uint64(32)
                digits = HEX[(word[:, None] >> SHIFTS & np.uint64(0xFF)).astype(np.intp)]
                self._good &= (digits <= 15).all(axis=1)
                if group:
                    self._good &= self._piece.ends_with(at - 4, b":")
                value = value << np.uint64(16) | (digits << NIBBLES).sum(axis=1)
            halves.append(value)
        return np.column_stack(halves)

    def _nat(self) -> None:
        """The listing says nothing of NAT: it shows where the two tuples are not each other's mirror."""
        values = self._values
        for flag, one, other in (
            (Status.DST_NAT, ("reply_src", "reply_sport"), ("dst", "dport")),
            (Status.SRC_NAT, ("reply_dst", "reply_dport"), ("src", "sport")),
        ):
            address = (values[one[0]] != values[other[0]]).any(axis=1)
            self._status[address | (values[one[1]] != values[other[1]])] |= np.uint32(flag)
