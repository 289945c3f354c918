"""How wide lines are."""

from __future__ import annotations

import pytest

from conntrim.render.page import as_wide_as, width, wrapped


@pytest.mark.parametrize(("columns", "expected"), [(None, 79), (100, 99), (20, 40), (0, 40), (500, 160)])
def test_lines_follow_the_terminal_within_what_can_be_read(columns: int | None, expected: int) -> None:
    """The last column stays free; without a terminal, and afterwards, it is 80 columns again."""
    with as_wide_as(columns):
        assert width() == expected
        assert max(map(len, wrapped("a " * 300))) in (expected, expected - 1)
        assert max(map(len, wrapped("a " * 300, less=2))) <= expected - 2
    assert width() == 79
