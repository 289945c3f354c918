"""Counting keys in a stream: the same as counting them at once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from conntrim.core.census.tally import PENDING, Tally


@pytest.mark.parametrize("size", [100, PENDING // 2, 2 * PENDING])
def test_single_numbers_are_counted_as_python_counts_them(size: int) -> None:
    """Small blocks that wait and large ones that are merged at once: new keys before, between and behind known ones."""
    chance, tally, expected = np.random.default_rng(size), Tally(), Counter[int]()
    for low, high in ((500_000, 600_000), (0, 1_000_000), (590_000, 591_000), (900_000, 2_000_000)):
        keys = chance.integers(low, high, size, dtype=np.uint64)
        tally.add(keys)
        expected.update(keys.tolist())
        tally.items()
    keys, counts = tally.items()
    assert keys.tolist() == sorted(expected)
    assert dict(zip(keys.tolist(), counts.tolist(), strict=True)) == expected


def test_wide_keys_are_counted_as_python_counts_them() -> None:
    """Keys of three numbers, merged several times."""
    chance, tally, expected = np.random.default_rng(3), Tally(3), Counter[tuple[int, ...]]()
    for _ in range(4):
        keys = chance.integers(0, 12, (PENDING, 3), dtype=np.uint64)
        tally.add(keys)
        expected.update(map(tuple, keys.tolist()))
        tally.items()
    found, counts = tally.items()
    assert list(map(tuple, found.tolist())) == sorted(expected)
    assert counts.tolist() == [expected[key] for key in sorted(expected)]


def test_what_is_not_kept_is_forgotten_at_every_merge() -> None:
    """With only even keys kept, odd ones start again from nothing."""
    tally = Tally(1, lambda keys, counts: keys % np.uint64(2) == 0)
    for _ in range(3):
        tally.add(np.array([1, 2, 2, 4, 7], np.uint64))
        keys, counts = tally.items()
    assert (keys.tolist(), counts.tolist()) == ([2, 4], [6, 3])
