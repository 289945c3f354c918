"""What a match that counts answers a client that nothing has counted."""

from __future__ import annotations

import pytest

from conntrim.core.model.ruleset import OpaqueMatch
from conntrim.core.netfilter.newcomer import ALWAYS, Counted, counted

ANSWERS: dict[tuple[str, str], Counted | None] = {
    ("recent", "--set --name door --mask 255.255.255.255 --rsource"): Counted(answer=True),
    ("recent", "--update --seconds 60 --hitcount 4 --name door --mask 255.255.255.255 --rsource"): Counted(
        answer=False, most=4, listed="door"
    ),
    ("recent", "--rcheck --seconds 60"): Counted(answer=False, most=1, listed="DEFAULT"),
    ("recent", "! --rcheck --name door"): None,
    ("recent", "--rcheck --seconds 61 --name conntrim --mask 0.0.0.0 --rsource"): None,
    ("recent", "--rcheck --name conntrim-kept --mask :: --rsource"): None,
    ("limit", "--limit 3/min"): Counted(answer=True, most=5),
    ("limit", "--limit 3/min --limit-burst 12"): Counted(answer=True, most=12),
    ("limit", "limit rate over 10/second burst 5 packets"): Counted(answer=False, most=5),
    ("limit", "limit rate 3/second burst 7 packets"): Counted(answer=True, most=7),
    ("limit", "limit rate 10 kbytes/second"): None,
    ("hashlimit", "--hashlimit-upto 9/min --hashlimit-burst 20 --hashlimit-name x"): Counted(answer=True, most=20),
    ("hashlimit", "--hashlimit-above 9/min --hashlimit-burst 5 --hashlimit-name x"): Counted(answer=False, most=5),
    ("hashlimit", "--hashlimit-above 512kb/s --hashlimit-name x"): None,
    ("connlimit", "--connlimit-above 10 --connlimit-mask 32 --connlimit-saddr"): Counted(answer=False, most=ALWAYS),
    ("connlimit", "--connlimit-upto 10 --connlimit-mask 32 --connlimit-saddr"): Counted(answer=True, most=ALWAYS),
    ("rpfilter", "--loose"): Counted(answer=True),
    ("rpfilter", "--invert"): Counted(answer=False),
    ("string", "--string x --algo bm"): None,
    ("statistic", "--mode random --probability 0.5"): None,
}
"""By kind and text; None: nobody knows that of a newcomer either."""


@pytest.mark.parametrize(("kind", "text"), ANSWERS)
def test_what_a_newcomer_is_answered(kind: str, text: str) -> None:
    """Lists do not know it, limits are unused, and how many of its own packets that bears."""
    assert ANSWERS[kind, text] == counted(OpaqueMatch(kind, text))


def test_what_is_negated_is_left_open() -> None:
    """Nobody has measured those."""
    assert counted(OpaqueMatch("limit", "--limit 3/min", negated=True)) is None
