"""Shares that add up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from conntrim.core.census.shares import shares


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=40))
def test_shares_are_100_together_and_none_is_off_by_a_tenth(counts: list[int]) -> None:
    """Whatever the counts, the printed shares add up to exactly 100.0 and each is its true share within 0.1."""
    tenths = [round(share * 10) for share in shares(counts)]
    assert sum(tenths) == (1000 if sum(counts) else 0)
    assert all(abs(t - 1000 * c / (sum(counts) or 1)) < 1 for t, c in zip(tenths, counts, strict=True))


def test_three_thirds() -> None:
    """The first of three equal rows gets the tenth that is left."""
    assert shares([1, 1, 1]) == (33.4, 33.3, 33.3)
