"""Text read eight bytes at a time, for many places at once: what stands before them, and decimal numbers there.

To gather the bytes before a place costs ten times what one operation on eight of them costs, and hardly depends on how
many are gathered: so they are gathered once, as rows of fixed width that end at the places.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

LAST_BYTES = np.array([0] + [(1 << 64) - (1 << 64 - 8 * n) for n in range(1, 9)], np.uint64)
"""By a number of bytes: the mask of a little-endian word's last so many."""

SIXES, LOW_HALVES = np.uint64(0x0606060606060606), np.uint64(0x0F0F0F0F0F0F0F0F)
HIGH_HALVES, THREES = np.uint64(0xF0F0F0F0F0F0F0F0), np.uint64(0x3333333333333333)


class Text:
    """The bytes of a piece of text."""

    def __init__(self, data: Bytes) -> None:
        self.data = data

    def before(self, places: Places, width: int) -> Bytes:
        """The `width` bytes before each place, uint8[..., width]."""
        every = np.ndarray((len(self.data) - width + 1,), f"V{width}", self.data, strides=(1,))
        return every[places - width].view(np.uint8).reshape(*places.shape, width)

    def blankless(self, starts: Places, ends: Places) -> Mask:
        """Whether there is no blank between."""
        blanks = np.flatnonzero(self.data == ord(" "))
        found: Mask = np.searchsorted(blanks, starts) == np.searchsorted(blanks, ends)
        return found


def word(rows: Bytes, back: int = 0) -> Words:
    """The eight bytes of each row that end `back` bytes before its end, as a view."""
    return np.ndarray(rows.shape[:-1], "<u8", rows, rows.shape[-1] - 8 - back, rows.strides[:-1])


def ends_with(rows: Bytes, text: bytes, back: int = 0) -> Mask:
    """Which rows have this text `back` bytes before their end."""
    shift = 64 - 8 * len(text[-8:])
    wanted = np.uint64(int.from_bytes(text[-8:], "little") << shift)
    found: Mask = (word(rows, back) & np.uint64((1 << 64) - (1 << shift))) == wanted
    if len(text) > 8 and found.any():
        found &= ends_with(rows, text[:-8], back + 8)
    return found


def decimal(words: Words, sizes: Places, good: Mask) -> Words:
    """The decimal numbers that the last `sizes` bytes (one to eight) of words are; where one is none, `good` is
    cleared.
    """
    if sizes.max(initial=1) == 1 == sizes.min(initial=1):
        digit = (words >> np.uint64(56)) - np.uint64(ord("0"))
        good &= digit <= 9
        return digit
    good &= (sizes > 0) & (sizes <= 8)
    mask = LAST_BYTES.take(sizes, mode="clip")
    digits = words & mask
    # A digit is 0x3N, and still so with six added.
    high = digits & HIGH_HALVES | ((digits + (SIXES & mask)) & HIGH_HALVES) >> np.uint64(4)
    good &= high == (THREES & mask)
    digits &= LOW_HALVES
    # Pairs, then fours, then eights: each step adds ten (a hundred, ten thousand) times the earlier half.
    digits = (digits * np.uint64(2561)) >> np.uint64(8) & np.uint64(0x00FF00FF00FF00FF)
    digits = (digits * np.uint64(6553601)) >> np.uint64(16) & np.uint64(0x0000FFFF0000FFFF)
    return (digits * np.uint64(42949672960001)) >> np.uint64(32)


def long_decimal(rows: Bytes, back: int, sizes: Places, good: Mask) -> Words:
    """The same of one to sixteen bytes, which end `back` bytes before the end of their rows."""
    number = decimal(word(rows, back), np.minimum(sizes, 8), good)
    long = np.flatnonzero(sizes > 8)
    if len(long):
        fine = good[long]
        number[long] += decimal(word(rows[long], back + 8), sizes[long] - 8, fine) * np.uint64(10**8)
        good[long] = fine
    return number
