"""Bytes that are no UTF-8, as text and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from conntrim.core.model.raw_text import bytes_of, is_plain, text_of


@given(st.binary(max_size=40))
def test_bytes_come_back(data: bytes) -> None:
    """Any bytes go through text unchanged; those that are UTF-8 are told from the others."""
    text = text_of(data)
    assert data == bytes_of(text)
    assert (data.decode("utf-8", "ignore") == text) == is_plain(text)


def test_a_surrogate_that_is_no_byte_is_no_error() -> None:
    """JSON can hold one; it becomes a question mark, not a traceback."""
    assert b"?" == bytes_of("\ud800")
