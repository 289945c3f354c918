"""What a load left behind is judged by what the story says, not to the last entry."""

import pytest

from conntrim.lab.attempts import Seen
from conntrim.lab.site import CONCURRENCY, Load


@pytest.mark.parametrize(
    ("entries", "told"),
    [(3000, True), (3000 + CONCURRENCY, True), (3001 + CONCURRENCY, False), (2961, True), (2700, True), (2699, False)],
)
def test_each_request_leaves_two_entries(entries: int, told: bool) -> None:
    """1,500 requests leave 3,000 entries; a few more where ab connects ahead, fewer where ports are taken again."""
    assert told is Seen(Load(1500, 0, 1.0), entries=entries, drops=0).tracked_twice
