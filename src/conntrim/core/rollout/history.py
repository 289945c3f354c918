"""What became of plans on this host, step by step: the journal's own words, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from conntrim.core.model.plan import Plan
from conntrim.core.rollout.record import Journal, Moment, Step
from conntrim.core.rollout.states import State

STEPS = 500
"""Steps that a journal keeps; older ones go."""
TIME = "%Y-%m-%dT%H:%M:%SZ"
"""UTC, ISO 8601."""

_ENDS: dict[State, str] = {
    State.CHECKING: "refused",
    State.BACKING_OUT: "fell back",
    State.WITHDRAWING: "not kept",
    State.RESTORING: "undone",
    State.PENDING: "forgotten",
}
"""What has come to an end where nothing is left, by the state before."""
_ENTRIES = {State.CHECKING, State.CLEARING, State.WITHDRAWING, State.UNDOING}


@dataclass(frozen=True, slots=True)
class History:
    """All steps that the journal knows, the oldest first, and where the rollout stands."""

    steps: tuple[Step, ...]
    state: State
    plan: str = ""
    remarks: tuple[str, ...] = ()
    netns: str = ""


def stepped(journal: Journal, state: State, at: str, by: str) -> tuple[Step, ...]:
    """The journal's steps once it records a state; `journal` is what it said before."""
    return (*journal.steps, *_steps(journal, state, at, by))[-STEPS:]


def _steps(journal: Journal, state: State, at: str, by: str) -> Iterator[Step]:
    plan = journal.plan
    if plan is None:
        return
    made = Step(at, "", plan.name, _cures(plan), by, journal.replaced_name)
    if state is State.TRIAL:
        yield replace(made, what="tried")
    elif state is State.PENDING:
        yield replace(made, what="noted")
    elif state is State.CONFIRMED:
        yield replace(made, what="loaded again" if journal.state is State.REPAIRING else "confirmed")
    elif state is State.NOTHING and journal.state in _ENDS:
        yield replace(made, what=_ENDS[journal.state])
    elif journal.state is State.TRIAL and state in _ENTRIES and journal.guard and at >= (end := _end(journal)):
        yield replace(made, at=end, what="expired", by="")


def history(journal: Journal, state: State, now: Moment, netns: str = "") -> History:
    """What the journal knows, and what only the clock tells: a trial that is over."""
    steps, remarks = journal.steps, tuple[str, ...]()
    if not steps and journal.history:
        steps = tuple(Step(note.at, _WORDS[note.what]) for note in journal.history if note.what in _WORDS)
        remarks = ("written by an earlier release: which plan, and who, it does not say",) if steps else ()
    if state is State.EXPIRED and journal.plan and journal.guard:
        end, services = _end(journal), _cures(journal.plan)
        steps = (*steps, Step(end, "expired", journal.name, services, replaced=journal.replaced_name))
    return History(steps, state, journal.name, remarks, netns)


_WORDS = {State.TRIAL.value: "tried", State.CONFIRMED.value: "confirmed", State.NOTHING.value: "undone"}


def _cures(plan: Plan) -> tuple[str, ...]:
    policy = plan.policy
    timed, limited = map(str, policy.service_timeouts), map(str, policy.limits)
    return (
        *map(str, policy.untrack),
        *(f"time-outs of {each}" for each in timed),
        *(f"limit of {each}" for each in limited),
    )


def _end(journal: Journal) -> str:
    """When the trial's guard ended."""
    assert journal.guard is not None
    return datetime.fromtimestamp(journal.guard.wall, UTC).strftime(TIME)
