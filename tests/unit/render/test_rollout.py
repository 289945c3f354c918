"""A rollout's report as text."""

from __future__ import annotations

from conntrim.core.rollout.report import Report
from conntrim.core.rollout.states import State
from conntrim.render.page import as_wide_as
from conntrim.render.rollout import to_text


def test_another_plan_is_refused_with_the_way_out() -> None:
    """The refusal names what is on trial and the commands that decide about it."""
    report = Report("another plan is on trial", 1, State.TRIAL, plan="web", seconds_left=3)
    assert to_text(report).splitlines()[0] == "Another plan is on trial. web is on trial, 3 s left."
    assert to_text(report).splitlines()[-1] == "Decide about it first: conntrim confirm or conntrim rollback"


def test_what_is_replaced_and_what_a_rollback_goes_back_to_is_said() -> None:
    """On trial, kept, undone: the other plan by its name."""
    trial = Report("armed", 0, State.TRIAL, plan="both", replaced="web")
    assert "It would replace web, which acts until then, and afterwards if it is not kept" in whole(trial)
    kept = Report("confirmed", 0, State.CONFIRMED, plan="both", replaced="web")
    assert "It has replaced web: a rollback goes back to that" in whole(kept)
    undone = Report("rolled back", 0, State.CONFIRMED, plan="web", rules=3, undone="both")
    assert whole(undone).startswith("Rolled back. web is confirmed, 3 rules of ours are loaded. both is undone")


def whole(report: Report) -> str:
    """The text as one line."""
    return " ".join(to_text(report).split())


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


def test_a_narrow_terminal_breaks_sentences_and_no_commands() -> None:
    """At 60 columns what is told fits; a command that is advised stays whole, to be copied."""
    state = "/var/lib/elsewhere/conntrim"
    report = Report("status", 0, State.TRIAL, plan="web", deadline="2026-11-27T09:42:08Z", state_dir=state)
    with as_wide_as(60):
        over = [line for line in to_text(report).splitlines() if len(line) >= 60]
    verbs = "Keep it:     conntrim confirm", "Undo it now: conntrim rollback"
    assert over == [f"{verb} --state {state}" for verb in verbs]
