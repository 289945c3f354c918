"""Sets of numbers."""

from hypothesis import given
from hypothesis import strategies as st

from conntrim.core.model.intervals import Intervals

numbers = st.integers(0, 255)
sets = st.lists(st.tuples(numbers, numbers).map(lambda p: (min(p), max(p)))).map(Intervals.union_of)


@given(sets, sets)
def test_operations_agree_with_python_sets(a: Intervals, b: Intervals) -> None:
    """Union, intersection, difference, complement and inclusion are those of sets of numbers."""
    assert set(a) | set(b) == set(a | b)
    assert set(a) & set(b) == set(a & b)
    assert set(a) - set(b) == set(a - b)
    assert set(range(256)) - set(a) == set(a.complement(8))
    assert (set(a) <= set(b)) == (a <= b)


@given(sets)
def test_equal_sets_are_equal_values(a: Intervals) -> None:
    """The ranges are in one normal form: the same numbers give the same value."""
    assert a == Intervals.of(*a)
    assert a.size == len(set(a))


def test_all_ipv6_addresses_can_be_counted() -> None:
    """A set may be larger than what len() may return."""
    assert 1 << 128 == Intervals.full(128).size
