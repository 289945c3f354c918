"""The rollout's table, read as dialogues: `>> event`, `<< command`."""

from __future__ import annotations

from itertools import pairwise

import pytest

from conntrim.core.rollout.commands import Answer, Command, Do, Record, Reply
from conntrim.core.rollout.events import (
    ASKED,
    ENDED,
    Apply,
    ApplyAnother,
    Clean,
    Confirm,
    Done,
    Event,
    Failed,
    Hangup,
    NothingToTry,
    Rollback,
)  # fmt: skip
from conntrim.core.rollout.machine import TABLE, UNRECORDED, WORK, Rollout, step
from conntrim.core.rollout.states import OBSERVED, RESTING, State


def dialogue(state: State, *events: Event) -> list[str]:
    """What is said, `>>` to the machine and `<<` by it."""
    said, rollout = [], Rollout(state)
    for event in events:
        rollout, commands = step(rollout, event)
        said += [f">> {_name(event)}", *(f"<< {_words(command)}" for command in commands)]
    return said


def _name(event: Event) -> str:
    return f"{type(event).__name__} {event.why}" if isinstance(event, Failed) else type(event).__name__


def _words(command: Command) -> str:
    match command:
        case Do():
            return command.value
        case Record(state):
            return f"record {state}"
        case Reply(answer, why):
            return f"tell {answer.words}" + (f": {why}" if why else "")


def test_a_trial_is_recorded_before_each_step() -> None:
    """Apply checks, then loads, and each step is in the journal before it begins."""
    assert [
        ">> Apply", "<< record checking", "<< check the plan",
        ">> Done", "<< record loading", "<< load the guarded rules",
        ">> Done", "<< probe the guarded rules",
        ">> Done", "<< record trial", "<< tell armed",
    ] == dialogue(State.NOTHING, Apply(), Done(), Done(), Done())  # fmt: skip


def test_a_probe_that_fails_takes_the_trial_back_at_once() -> None:
    """Nobody waits for the guard where a service does not answer."""
    assert [
        ">> Failed no answer", "<< record backing out", "<< take out the rules",
        ">> Done", "<< record nothing", "<< tell fell back: no answer",
    ] == dialogue(State.PROBING, Failed("no answer"), Done())  # fmt: skip


def test_a_refused_plan_loads_nothing() -> None:
    """A plan that fails its check leads back to nothing without any load."""
    assert [
        ">> Apply", "<< record checking", "<< check the plan",
        ">> Failed stale", "<< record nothing", "<< tell refused: stale",
    ] == dialogue(State.NOTHING, Apply(), Failed("stale"))  # fmt: skip


def test_a_failure_amid_loading_takes_out_what_was_loaded() -> None:
    """After a failed load the rules go out again, and the operator hears why it began."""
    assert [
        ">> Failed nft", "<< record backing out", "<< take out the rules",
        ">> Done", "<< record nothing", "<< tell fell back: nft",
    ] == dialogue(State.LOADING, Failed("nft"), Done())  # fmt: skip


def test_a_confirm_deletes_entries_only_after_the_swap() -> None:
    """Confirm checks, swaps, and only then purges, tunes and writes."""
    assert [
        ">> Confirm", "<< check the unguarded rules",
        ">> Done", "<< record swapping", "<< place the unguarded rules beside the guarded ones",
        ">> Done", "<< record keeping", "<< keep the unguarded rules",
        ">> Done", "<< record purging", "<< delete the stale entries",
        ">> Done", "<< record tuning", "<< set the sysctls",
        ">> Done", "<< record writing", "<< write the files",
        ">> Done", "<< record confirmed", "<< tell confirmed",
    ] == dialogue(State.TRIAL, Confirm(), *[Done()] * 6)  # fmt: skip


def test_settings_alone_are_never_on_trial() -> None:
    """They are noted, since nothing of them can expire; a confirm sets them, a rollback forgets them."""
    assert [
        ">> Apply", "<< record checking", "<< check the plan",
        ">> NothingToTry", "<< record pending", "<< tell noted",
        ">> Confirm", "<< record tuning", "<< set the sysctls",
        ">> Done", "<< record writing", "<< write the files",
        ">> Done", "<< record confirmed", "<< tell confirmed",
    ] == dialogue(State.NOTHING, Apply(), NothingToTry(), Confirm(), Done(), Done())  # fmt: skip
    assert [">> Rollback", "<< record nothing", "<< tell nothing to undo"] == dialogue(State.PENDING, Rollback())


def test_a_late_confirm_takes_out_the_leftovers() -> None:
    """After the deadline a confirm is refused, and the inert rules go."""
    assert [
        ">> Confirm", "<< record withdrawing", "<< take out the rules",
        ">> Done", "<< record nothing", "<< tell not kept",
    ] == dialogue(State.EXPIRED, Confirm(), Done())  # fmt: skip


def test_an_apply_after_expiry_clears_and_starts_anew() -> None:
    """Leftovers of an expired trial go out before the new one is checked."""
    assert [
        ">> ApplyAnother", "<< record clearing", "<< take out the rules",
        ">> Done", "<< record checking", "<< check the plan",
    ] == dialogue(State.EXPIRED, ApplyAnother(), Done())  # fmt: skip


def test_a_second_apply_changes_nothing() -> None:
    """Applying the plan on trial again, or the confirmed one, only says so."""
    assert [">> Apply", "<< tell already on trial"] == dialogue(State.TRIAL, Apply())
    assert [">> Apply", "<< tell already confirmed"] == dialogue(State.CONFIRMED, Apply())


def test_a_rollback_undoes_rules_then_files() -> None:
    """Rollback takes out the rules first, then puts back sysctls and files."""
    assert [
        ">> Rollback", "<< record undoing", "<< take out the rules",
        ">> Done", "<< record restoring", "<< put back sysctls and files",
        ">> Done", "<< record nothing", "<< tell rolled back",
    ] == dialogue(State.CONFIRMED, Rollback(), Done(), Done())  # fmt: skip


def test_a_confirm_that_stopped_goes_on_where_it_was() -> None:
    """A disk full amid the files keeps the rules; a further confirm writes the files again."""
    assert [
        ">> Failed disk full", "<< tell the confirm is unfinished: disk full",
        ">> Confirm", "<< record writing", "<< write the files",
    ] == dialogue(State.WRITING, Failed("disk full"), Confirm())  # fmt: skip


def test_reasons_add_up() -> None:
    """A failure that follows a failure does not hide the first."""
    rollout, _ = step(Rollout(State.LOADING), Failed("one"))
    rollout, _ = step(rollout, Failed("two"))
    assert rollout.why == "one; then two"


@pytest.mark.parametrize("state", [s for s in State if s not in UNRECORDED])
def test_every_verb_has_a_row_in_every_state(state: State) -> None:
    """Whatever state a run finds, each verb leads somewhere: that is the crash recovery."""
    assert [] == [verb for verb in ASKED if verb not in TABLE[state]]


@pytest.mark.parametrize("state", list(WORK))
def test_every_work_may_end_in_every_way(state: State) -> None:
    """Each moving state says what follows well-done, failed and hung-up work."""
    assert [] == [end for end in ENDED if end not in TABLE[state]]


def test_only_moving_states_work() -> None:
    """The states are resting or have work, never both, never neither."""
    assert set(State) - RESTING == set(WORK)


@pytest.mark.parametrize("state", list(State))
def test_a_row_without_answer_leads_to_work(state: State) -> None:
    """A run ends with an answer or goes on working: no row leads to rest in silence."""
    assert [] == [row for row in TABLE[state].values() if row.answer is None and row.state not in WORK]


@pytest.mark.parametrize("state", list(State))
def test_success_never_loops(state: State) -> None:
    """With every work done well, each verb ends within eight steps: no cycle."""
    for verb in ASKED:
        if verb not in TABLE[state]:
            continue
        rollout, commands = step(Rollout(state), verb())
        steps = 0
        while not isinstance(commands[-1], Reply):
            rollout, commands = step(rollout, Done())
            steps += 1
            assert steps <= 8
        assert rollout.state in RESTING | {state}


def test_observed_states_are_never_recorded() -> None:
    """The journal never names a state that only the clock and the kernel can tell, whatever happens."""
    events: list[Event] = [Failed("full"), *(each() for each in (*ASKED, Done, Hangup))]
    recorded = {
        (before, command.state)
        for before in State
        for event in events
        if type(event) in TABLE[before]
        for command in step(Rollout(before), event)[1]
        if isinstance(command, Record) and command.state in OBSERVED
    }
    assert recorded == set()


def test_rules_are_kept_only_through_the_swap() -> None:
    """The only way to confirmed is trial, review, swap, keep, purge, tune, write in this order."""
    way = [State.TRIAL, State.REVIEWING, State.SWAPPING, State.KEEPING, State.PURGING, State.TUNING, State.WRITING]
    way.append(State.CONFIRMED)
    for before, after in pairwise(way):
        leading = {s for s in State if s is not after and any(r.state is after for r in TABLE[s].values())}
        others = {
            State.TRIAL: {State.PROBING},
            State.TUNING: {State.PENDING},  # which holds no rules
            State.CONFIRMED: {State.REVIEWING, State.REPAIRING},
        }
        assert leading - {before} <= others.get(after, {State.REVIEWING})


def test_what_a_reload_took_is_loaded_again_by_a_confirm() -> None:
    """Only confirmed rules that are gone can be repaired, and nothing is purged or written for that."""
    assert [
        ">> Confirm", "<< check what is gone",
        ">> Done", "<< record mending", "<< load again what is gone",
        ">> Done", "<< record confirmed", "<< tell confirmed again",
    ] == dialogue(State.DRIFTED, Confirm(), Done(), Done())  # fmt: skip
    assert {s for s in State if any(r.state is State.REPAIRING for r in TABLE[s].values())} == {
        State.ASSESSING,
        State.REPAIRING,
    }


def test_what_cannot_be_loaded_again_is_not_asked_to_be_confirmed_for_ever() -> None:
    """A confirm that is refused, or fails, leaves what is confirmed and drifted: from there a rollback leads on."""
    assert [
        ">> Confirm", "<< check what is gone",
        ">> Failed half is left", "<< tell refused: half is left",
        ">> Rollback", "<< record undoing", "<< take out the rules",
    ] == dialogue(State.DRIFTED, Confirm(), Failed("half is left"), Rollback())  # fmt: skip
    assert [
        ">> Failed full", "<< record confirmed", "<< tell refused: full",
    ] == dialogue(State.REPAIRING, Failed("full"))  # fmt: skip


def test_hangup_amid_undoing_stays_to_be_finished() -> None:
    """A hang-up during a rollback leaves it to the next rollback, whatever else is asked for."""
    assert [
        ">> Hangup", "<< tell interrupted: interrupted by a signal",
        ">> Apply", "<< tell the rollback is unfinished: interrupted by a signal",
        ">> Clean", "<< record undoing", "<< take out the rules",
    ] == dialogue(State.UNDOING, Hangup(), Apply(), Clean())  # fmt: skip


def test_answers_say_whether_it_went_well() -> None:
    """Every answer that leaves the wish unfulfilled has exit code 1."""
    assert {a.exit_code for a in Answer} == {0, 1}
