"""A rollout's report as text."""

from __future__ import annotations

from conntrim.core.rollout.report import Report
from conntrim.core.rollout.states import State
from conntrim.render.rollout import to_text


def test_another_plan_is_refused_with_the_way_out() -> None:
    """The refusal names what stands there and the commands that put another plan in its place."""
    report = Report("another plan is confirmed", 1, State.CONFIRMED, plan="web", rules=3)
    assert to_text(report).splitlines() == [
        "Another plan is confirmed. web is confirmed, 3 rules of ours are loaded.",
        "Put another in its place: conntrim rollback, then conntrim plan -o DIR and",
        "  conntrim apply DIR",
    ]


def test_a_change_around_our_rules_that_breaks_nothing_is_said_to() -> None:
    """The chain is named, and that it was proved again; what is broken is named instead."""
    report = Report("status", 0, State.CONFIRMED, plan="web", rules=3, moved=("nft table inet f chain c",))
    assert to_text(report).splitlines()[1:] == [
        "Changed around our rules: nft table inet f chain c",
        "Proved again for the present rules: nothing is broken by that.",
    ]


def test_what_does_not_come_back_at_boot_is_told_with_its_lines() -> None:
    """Why first, then each line for the operator to put where it belongs."""
    report = Report("confirmed", 0, State.CONFIRMED, plan="web", rules=1, by_hand=("nft: no file", "chain c: accept"))
    assert to_text(report).splitlines()[1:] == [
        "Does not come back at boot by itself: nft: no file",
        "By hand: chain c: accept",
    ]
