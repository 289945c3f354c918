"""The values of usual lines with the same keys: protocol, time-out, state, addresses, ports, flags, NAT.

Key by key: the bytes before its `=` are gathered, and the key and the value before it are read while they are at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from conntrim.core.model.address import MAPPED, Family
from conntrim.core.model.conntrack import Status, TcpState
from conntrim.core.model.flows import SHAPES
from conntrim.core.model.protocol import Protocol
from conntrim.core.parse.conntrack_words import (
    LAST_BYTES,
    Bytes,
    Mask,
    Places,
    Text,
    Words,
    decimal,
    ends_with,
    long_decimal,
    word,
)  # fmt: skip

V4_TAIL, V6_TAIL = 32, 48
"""Bytes gathered before each `=`: the longest value (of 16 digits; a whole IPv6 address), a flag and the next key."""

HEAD = 24
"""Bytes gathered from the start of a line: the longest of `PREFIXES`."""

PREFIXES: tuple[tuple[bytes, int], ...] = (
    (b"ipv4     2 tcp      6 ", Protocol.TCP), (b"ipv4     2 udp      17 ", Protocol.UDP),
    (b"ipv6     10 tcp      6 ", Protocol.TCP), (b"ipv6     10 udp      17 ", Protocol.UDP),
    (b"tcp      6 ", Protocol.TCP), (b"udp      17 ", Protocol.UDP),
)  # fmt: skip
"""How usual lines start, up to the time-out."""

ASSURED, UNREPLIED = b" [ASSURED]", b" [UNREPLIED]"
STATES = tuple((b" " + state.name.encode(), state) for state in TcpState)
BIG = ("packets", "bytes", "reply_packets", "reply_bytes")
LARGEST = {"mark": 0xFFFFFFFF, "use": 0xFFFFFFFF, "zone": 0xFFFF} | dict.fromkeys(BIG, 1 << 63)

DOT = ord(".")
LONGEST_V4 = len("255.255.255.255")
LEAST_OCTET = np.array([0, 0, 10, 100], np.uint16)
"""By the number of digits: an octet does not start with zeros."""

FULL_V6 = 39
"""Characters of an IPv6 address as the kernel prints it, without abbreviation."""

COLONS = np.arange(4, FULL_V6, 5)
DIGITS = np.delete(np.arange(FULL_V6), COLONS)
NO_DIGIT = 16
HEX = np.full(256, NO_DIGIT, np.uint8)
"""The value of a hexadecimal digit as the kernel prints it, `NO_DIGIT` for every other character."""
HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines with the same number of keys: where each starts and ends, and which of `equals`, the places of every `=`
    in the text, is its first.
    """

    text: Text
    starts: Places
    ends: Places
    equals: Places
    first: Places


@dataclass(frozen=True, slots=True)
class _Value:
    """The value of one key: it is the last `sizes` bytes of rows, but for the `back` bytes at their end."""

    rows: Bytes
    back: int
    sizes: Places


def read_usual(lines: Lines, keys: list[bytes], columns: dict[str, int], *, v6: bool) -> tuple[Mask, Mask, Columns]:
    """Which of the lines have these keys, which of those are usual indeed, and the columns; `columns` are the places of
    their keys.
    """
    reader = _Reader(lines, keys, columns, V6_TAIL if v6 else V4_TAIL)
    return reader.same, reader.good, reader.columns(Family.IPV6 if v6 else Family.IPV4)


class _Reader:
    """Reads one group of lines."""

    def __init__(self, lines: Lines, keys: list[bytes], columns: dict[str, int], width: int) -> None:
        self._lines, self._width = lines, width
        rows = len(lines.starts)
        self.same, self.good = np.ones(rows, np.bool_), np.ones(rows, np.bool_)
        self._status = np.full(rows, Status.CONFIRMED | Status.SEEN_REPLY, np.uint32)
        self._values: Columns = {}
        self._texts: dict[str, Words] = {}
        names = {index: name for name, index in columns.items()}
        flags = {columns["reply_src"] - 1: UNREPLIED}
        flags[max(i for name, i in columns.items() if name.startswith("reply_"))] = ASSURED
        before = self._head(keys[0])
        for i, key in enumerate(keys[1:]):
            place = lines.equals.take(lines.first + (i + 1))
            tail = lines.text.before(place, width)
            self.same &= ends_with(tail, key)
            self._value(names[i], _Value(tail, len(key), place - before - (1 + len(key))), flags.get(i), place)
            before = place
        last = lines.ends - (lines.text.data[lines.ends - 1] == ord(" "))
        value = _Value(lines.text.before(last, width), 0, last - before - 1)
        self._value(names[len(keys) - 1], value, flags.get(len(keys) - 1), last)
        self.good &= self.same

    def columns(self, family: Family) -> Columns:
        """All columns."""
        self._nat()
        rows = len(self.good)
        return self._values | {"status": self._status, "family": np.full(rows, family, np.uint8)}

    def _value(self, name: str, value: _Value, flag: bytes | None, place: Places) -> None:
        """Read one value, and the flag that may stand after it; `place` is where its rows end."""
        if flag is not None and (there := ends_with(value.rows, flag, value.back)).any():
            if flag is ASSURED:
                self._status |= there * np.uint32(Status.ASSURED)
            else:
                self._status &= ~(there * np.uint32(Status.SEEN_REPLY))
            skipped = there * len(flag)
            rows = self._lines.text.before(place - value.back - skipped, self._width)
            value = _Value(rows, 0, value.sizes - skipped)
        if name in READERS:
            READERS[name](self, name, value)
        elif name in LARGEST:
            self._number(name, value)
        else:
            start = place - value.back - value.sizes
            self.good &= self._lines.text.blankless(start, start + value.sizes)

    def _head(self, key: bytes) -> Places:
        """Protocol, time-out and state, from the line's start to the blank before `src=`; the place of its `=`."""
        back, starts, text = len(key), self._lines.starts, self._lines.text
        place = self._lines.equals.take(self._lines.first)
        tail, end = text.before(place, self._width), place - back
        self.same &= ends_with(tail, key)
        state, size = np.zeros(len(end), np.uint8), np.zeros(len(end), np.int64)
        for name, code in STATES:
            there = ends_with(tail, name, back)
            if there.any():
                # NONE, the first state, is 0: they are counted from 1, so that 0 is no state.
                state |= there * np.uint8(code + 1)
                size += there * len(name)
        protocol, prefix = self._prefix(np.minimum(starts + HEAD, self._lines.ends))
        self.good &= (protocol != 0) & ((protocol == Protocol.TCP) == (state != 0))
        ends = end - size
        timeout = decimal(word(text.before(ends, 8)), ends - starts - prefix, self.good)
        state -= np.uint8(1)
        self._values |= {"protocol": protocol, "state": state, "timeout": timeout.astype(np.uint32)}
        return place

    def _prefix(self, ends: Places) -> tuple[npt.NDArray[np.uint8], Places]:
        """Protocol and length of the prefix by the first bytes of each line; 0 where it is none of `PREFIXES`."""
        heads = self._lines.text.before(ends, HEAD + 8)
        protocol, size = np.zeros(len(ends), np.uint8), np.zeros(len(ends), np.int64)
        for text, number in PREFIXES:
            there = ends_with(heads, text, HEAD - len(text))
            if there.any():
                protocol |= there * np.uint8(number)
                size += there * len(text)
        return protocol, size

    def _port(self, name: str, value: _Value) -> None:
        number = decimal(word(value.rows, value.back), value.sizes, self.good)
        self.good &= number <= 0xFFFF
        self._values[name] = number.astype(np.uint16)

    def _number(self, name: str, value: _Value) -> None:
        number = long_decimal(value.rows, value.back, value.sizes, self.good)
        self.good &= number <= LARGEST[name]
        if name in SHAPES:
            self._values[name] = number.astype(SHAPES[name][0])

    def _address(self, name: str, value: _Value) -> None:
        """An address; one of the reply is read only where it is not, letter by letter, the mirrored one."""
        if self._width == V6_TAIL:
            self._values[name] = _full_v6(value, self.good)
            return
        text = _v4_text(value, self.good)
        if name not in MIRRORED:
            self._texts[name] = text
            self._values[name] = _v4(text, self.good)
            return
        mirror = MIRRORED[name]
        other = np.flatnonzero((text != self._texts[mirror]).any(axis=1))
        self._values[name] = self._values[mirror]
        if len(other):
            good = self.good[other]
            self._values[name] = self._values[mirror].copy()
            self._values[name][other] = _v4(text[other], good)
            self.good[other] = good

    def _nat(self) -> None:
        """The listing says nothing of NAT: it shows where the two tuples are not each other's mirror."""
        values = self._values
        for flag, one, other in (
            (Status.DST_NAT, ("reply_src", "reply_sport"), ("dst", "dport")),
            (Status.SRC_NAT, ("reply_dst", "reply_dport"), ("src", "sport")),
        ):
            differs = values[one[1]] != values[other[1]]
            if values[one[0]] is not values[other[0]]:
                differs |= (values[one[0]] != values[other[0]]).any(axis=1)
            if differs.any():
                self._status |= differs * np.uint32(flag)


MIRRORED = {"reply_src": "dst", "reply_dst": "src"}

READERS: dict[str, Callable[[_Reader, str, _Value], None]] = {
    **dict.fromkeys(("src", "dst", "reply_src", "reply_dst"), _Reader._address),
    **dict.fromkeys(("sport", "dport", "reply_sport", "reply_dport"), _Reader._port),
}


def _full_v6(value: _Value, good: Mask) -> Words:
    """An IPv6 address in the kernel's own spelling, eight groups of four digits, as uint64[n, 2]."""
    end = value.rows.shape[1] - value.back
    text = value.rows[:, end - FULL_V6 : end]
    digits = HEX[text[:, DIGITS]]
    good &= (value.sizes == FULL_V6) & (digits < NO_DIGIT).all(axis=1) & (text[:, COLONS] == ord(":")).all(axis=1)
    octets = np.ascontiguousarray(digits[:, 0::2] << np.uint8(4) | digits[:, 1::2])
    return octets.view(">u8").astype(np.uint64)


def _v4_text(value: _Value, good: Mask) -> Words:
    """The letters of an IPv4 address, uint64[n, 2] with zeros before it; `good` is cleared where they are too many."""
    good &= value.sizes <= LONGEST_V4
    text = np.empty((len(good), 2), np.uint64)
    text[:, 0] = word(value.rows, value.back + 8) & LAST_BYTES.take(value.sizes - 8, mode="clip")
    text[:, 1] = word(value.rows, value.back) & LAST_BYTES.take(value.sizes, mode="clip")
    return text


def _v4(text: Words, good: Mask) -> Words:
    """IPv4 addresses, uint64[n, 2], of texts of 16 letters; `good` is cleared where one is none."""
    letters, first = text.view(np.uint8).reshape(-1), np.arange(len(text)) * 16
    dots = np.flatnonzero(letters == DOT)
    if len(dots) != 3 * len(text) or ((dots.reshape(-1, 3) >> 4) != np.arange(len(text))[:, None]).any():
        text = text.copy()
        letters = text.view(np.uint8).reshape(-1)
        odd = (letters == DOT).reshape(-1, 16).sum(axis=1) != 3
        text[odd], good[odd] = np.frombuffer(b"\0\0\0\0\0\0\0\0\0000.0.0.0", np.uint64), False
        dots = np.flatnonzero(letters == DOT)
    start, address = first + (letters.reshape(-1, 16) != 0).argmax(axis=1), np.zeros(len(text), np.uint32)
    for end in (*dots.reshape(-1, 3).T, first + 16):
        address = address << np.uint32(8) | _octet(letters, start, end, good)
        start = end + 1
    column = np.zeros((len(text), 2), np.uint64)
    column[:, 1] = np.uint64(MAPPED) | address
    return column


def _octet(letters: Bytes, start: Places, end: Places, good: Mask) -> npt.NDArray[np.uint16]:
    """The numbers of one to three digits there; `good` is cleared where it is none, or above 255."""
    size = end - start
    one, ten, hundred = (letters.take(end - back) - np.uint8(ord("0")) for back in (1, 2, 3))
    ten *= size > 1
    hundred *= size > 2
    octet: npt.NDArray[np.uint16] = (
        one + np.multiply(ten, 10, dtype=np.uint16) + np.multiply(hundred, 100, dtype=np.uint16)
    )
    good &= (one <= 9) & (ten <= 9) & (hundred <= 9) & (size > 0) & (size <= 3) & (octet <= 255)
    good &= octet >= LEAST_OCTET.take(size, mode="clip")
    return octet
