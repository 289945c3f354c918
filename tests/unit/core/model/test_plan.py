"""The comments that plans write, and are known by."""

from __future__ import annotations

import pytest

from conntrim.core.model.plan import TRIAL_SUFFIX, comment_of, is_own_comment

LABELS = (
    "untrack",
    "icmp errors in 2",
    "inbound tcp/80,443 request lo translated 3",
    "outbound udp/8000-8010 reply",
    "inbound proto-99/1 request",
)


@pytest.mark.parametrize("label", LABELS)
def test_what_a_plan_writes_is_known_again(label: str) -> None:
    """With its mark, guarded or not."""
    comment = comment_of("1a2b3c4d", label)
    assert comment == f"conntrim:1a2b3c4d {label}"
    assert is_own_comment(comment)
    assert is_own_comment(comment + TRIAL_SUFFIX)


@pytest.mark.parametrize(
    "comment",
    [
        "conntrim: inbound tcp/80 request",
        "conntrim: outbound tcp/11211 reply lo 2 (trial)",
        "conntrim: icmp errors out",
        "conntrim: untrack 1a2b3c4d",
    ],
)
def test_what_the_first_releases_wrote_is_known(comment: str) -> None:
    """Their rules may be loaded still."""
    assert is_own_comment(comment)


@pytest.mark.parametrize(
    "comment",
    [
        "conntrim: ignore CT114 office",
        "conntrim:1a2b3c4d ignore CT114 office",
        "check: ignore CT114 office",
        "conntrim: inbound",
        "conntrim: inbound tcp/80 request, our shop",
        "see conntrim:1a2b3c4d untrack",
        "conntrim:1a2b3c4d",
        "conntrim:1A2B3C4D untrack",
        "conntrim:1a2b3c4d untrack (trial) (trial)",
        "conntrim:1a2b3c4d untrack\n",
        "",
    ],
)
def test_what_people_write_is_not_ours(comment: str) -> None:
    """Neither what the manual asks for nor what only begins, or ends, like one of ours."""
    assert not is_own_comment(comment)


def test_a_plan_writes_nothing_that_it_would_not_know() -> None:
    """A label of another form is our bug, found where it is made."""
    with pytest.raises(ValueError, match="no comment of a plan's"):
        comment_of("1a2b3c4d", "Ignore: this")
