"""The rollout: trial, confirm, roll back, as one table of transitions.

Theory of operation
===================

Two rules hold everywhere:

1.  Whatever dies, and whenever, the kernel falls back by itself: until a confirm has swapped the rules, every rule
    that a plan added carries a guard that expires. Nothing in this file has to happen for that.
2.  Entering a moving state writes its name to the journal *before* its work starts. So a journal that names a
    moving state means: the run died somewhere in that work, and some of it may be done. Every work can be done again.

The machine is pure. It is fed an event and answers with commands (`Record` the state, `Do` one thing, `Reply` the
operator); whoever drives it does the thing and feeds back `Done`, `Failed` or `Hangup`, until a `Reply` ends the run.
It is a Moore machine: the work depends on the state (`WORK`), so that a state found in the journal after a crash can be
entered again, and the table (`TABLE`) says only where an event leads and what the operator is told when it ends.

A trial goes  NOTHING > CHECKING > LOADING > PROBING > TRIAL. A failure in LOADING or PROBING takes out what was loaded
(BACKING_OUT).
A confirm     TRIAL > REVIEWING > SWAPPING > KEEPING > PURGING > TUNING > WRITING > CONFIRMED. Up to SWAPPING a failure
              takes everything out; after it the rules are kept, and a further confirm goes on where the last one
              stopped: from there on no way back is one transaction, so none is taken that nobody asked for.
              Entries are deleted only after the swap, and those of open connections are made to outlive the trial
              before its rules are loaded (K12, K88), so that falling back cuts none that was open before. Those that
              were opened meanwhile have no entry: what becomes of them at a deadline the plan lists (`falls-back`);
              work that takes rules out gives them one first (K95).
Settings alone  NOTHING > CHECKING > PENDING: they cannot expire, so nothing is tried. A confirm sets them:
              PENDING > TUNING > WRITING > CONFIRMED.
A rollback    anything > UNDOING > RESTORING > NOTHING.
A replacement CONFIRMED > CHECKING > ... of another plan, as any trial: its rules stand beside the confirmed ones, under
              other names. The journal keeps the confirmed plan's own one (`Journal.replaced`): that is what NOTHING
              means then, whoever comes there. The replaced rules go in KEEPING, when the new ones are kept, and come
              back in UNDOING, before those go (K104, K105).

EXPIRED, LOST, DRIFTED and STRAY are never recorded; looking at the clock and the kernel tells them (`status.py`).
After a trial that expired or lost rules, an apply first takes out what is left (CLEARING) and a confirm is refused and
takes it out (WITHDRAWING). Confirmed rules of which a whole table is gone, as after a reload by the program that made
it, are loaded again by a confirm (REPAIRING), unless a look shows that this cannot be done (ASSESSING). Rules that the
journal does not know are touched by a rollback only.

Each asked-for verb has a row in every state: that is the whole of the crash recovery.
"""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.rollout.commands import Answer, Command, Do, Record, Reply
from conntrim.core.rollout.events import (
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
)
from conntrim.core.rollout.states import State

WORK: dict[State, Do] = {
    State.CHECKING: Do.CHECK_TRIAL,
    State.LOADING: Do.LOAD_TRIAL,
    State.PROBING: Do.PROBE,
    State.REVIEWING: Do.CHECK_CONFIRM,
    State.SWAPPING: Do.LOAD_KEPT,
    State.KEEPING: Do.KEEP,
    State.PURGING: Do.PURGE,
    State.TUNING: Do.TUNE,
    State.WRITING: Do.WRITE_FILES,
    State.ASSESSING: Do.CHECK_MEND,
    State.REPAIRING: Do.REPAIR,
    State.CLEARING: Do.REMOVE_RULES,
    State.BACKING_OUT: Do.REMOVE_RULES,
    State.WITHDRAWING: Do.REMOVE_RULES,
    State.UNDOING: Do.REMOVE_RULES,
    State.RESTORING: Do.RESTORE,
}
"""What a moving state does. Every moving state is here."""

UNRECORDED: dict[State, State] = {
    State.PROBING: State.LOADING,
    State.REVIEWING: State.TRIAL,
    State.ASSESSING: State.DRIFTED,
}
"""Moving states that change nothing and leave the journal as it is, and what it then says: a run that dies there has
got no further than that."""


SEEN_AS: dict[State, State] = {State.DRIFTED: State.CONFIRMED}
"""What the journal says of a state that is only seen: the next run looks again whether it is still so."""


@dataclass(frozen=True, slots=True)
class To:
    """A row: the next state and, where the run ends there, the answer."""

    state: State
    answer: Answer | None = None


Rows = dict[type[Event], To]

_NOTHING_THERE: Rows = {
    Confirm: To(State.NOTHING, Answer.NO_TRIAL),
    Rollback: To(State.NOTHING, Answer.NOTHING_TO_UNDO),
    Clean: To(State.NOTHING, Answer.NOTHING_TO_CLEAN),
}
_LEFTOVERS: Rows = {
    Apply: To(State.CLEARING),
    ApplyAnother: To(State.CLEARING),
    Confirm: To(State.WITHDRAWING),
    Rollback: To(State.UNDOING),
    Clean: To(State.UNDOING),
}
"""Rules of ours that are inert, or of which nobody knows whether they are complete."""


def _unfinished(state: State, answer: Answer) -> Rows:
    """A verb in the wrong place: the state stays, the operator is told what is unfinished."""
    return {verb: To(state, answer) for verb in (Apply, ApplyAnother, Confirm, Rollback, Clean)}


def _only_rollback(state: State, answer: Answer) -> Rows:
    """A state that needs the operator's eye; nothing but a rollback changes it."""
    return _unfinished(state, answer) | {Rollback: To(State.UNDOING)}


def _removal(state: State, then: To) -> Rows:
    """A state that takes rules out on the way to elsewhere; where that fails, the leftovers wait for the next verb."""
    return _LEFTOVERS | {
        Done: then,
        Failed: To(state, Answer.STUCK),
        Hangup: To(state, Answer.INTERRUPTED),
    }


def _undoing(state: State, then: To) -> Rows:
    """A step of a rollback; only a rollback (or a clean) takes it up again."""
    return _unfinished(state, Answer.UNFINISHED_ROLLBACK) | {
        Done: then,
        Failed: To(state, Answer.STUCK),
        Hangup: To(state, Answer.INTERRUPTED),
        Rollback: To(state),
        Clean: To(state),
    }


def _settling(state: State, then: To) -> Rows:
    """A step after the swap; a further confirm goes on from here."""
    return _unfinished(state, Answer.UNFINISHED_CONFIRM) | {
        Done: then,
        Failed: To(state, Answer.UNFINISHED_CONFIRM),
        Hangup: To(state, Answer.INTERRUPTED),
        Confirm: To(state),
        Rollback: To(State.UNDOING),
    }


TABLE: dict[State, Rows] = {
    State.NOTHING: _NOTHING_THERE | {Apply: To(State.CHECKING), ApplyAnother: To(State.CHECKING)},
    State.CHECKING: _NOTHING_THERE
    | {
        Apply: To(State.CHECKING),
        ApplyAnother: To(State.CHECKING),
        Done: To(State.LOADING),
        NothingToTry: To(State.PENDING, Answer.PENDING),
        Failed: To(State.NOTHING, Answer.REFUSED),
        Hangup: To(State.NOTHING, Answer.INTERRUPTED),
    },
    State.PENDING: {
        Apply: To(State.CHECKING),
        ApplyAnother: To(State.CHECKING),
        Confirm: To(State.TUNING),
        Rollback: To(State.NOTHING, Answer.NOTHING_TO_UNDO),
        Clean: To(State.PENDING, Answer.NOTHING_TO_CLEAN),
    },
    State.LOADING: _LEFTOVERS
    | {
        Done: To(State.PROBING),
        Failed: To(State.BACKING_OUT),
        Hangup: To(State.BACKING_OUT),
    },
    State.PROBING: {
        Done: To(State.TRIAL, Answer.ARMED),
        Failed: To(State.BACKING_OUT),
        Hangup: To(State.BACKING_OUT),
    },
    State.TRIAL: {
        Apply: To(State.TRIAL, Answer.ALREADY_ARMED),
        ApplyAnother: To(State.TRIAL, Answer.OTHER_TRIAL),
        Confirm: To(State.REVIEWING),
        Rollback: To(State.UNDOING),
        Clean: To(State.TRIAL, Answer.STILL_ARMED),
    },
    State.EXPIRED: _LEFTOVERS,
    State.LOST: _LEFTOVERS,
    State.REVIEWING: {
        Done: To(State.SWAPPING),
        Failed: To(State.TRIAL, Answer.REFUSED),
        Hangup: To(State.TRIAL, Answer.INTERRUPTED),
    },
    State.SWAPPING: _unfinished(State.SWAPPING, Answer.UNFINISHED_CONFIRM)
    | {
        Done: To(State.KEEPING),
        Failed: To(State.BACKING_OUT),
        Hangup: To(State.BACKING_OUT),
        Confirm: To(State.SWAPPING),
        Rollback: To(State.UNDOING),
    },
    State.KEEPING: _settling(State.KEEPING, To(State.PURGING)),
    State.PURGING: _settling(State.PURGING, To(State.TUNING)),
    State.TUNING: _settling(State.TUNING, To(State.WRITING)),
    State.WRITING: _settling(State.WRITING, To(State.CONFIRMED, Answer.KEPT)),
    State.CONFIRMED: {
        Apply: To(State.CONFIRMED, Answer.ALREADY_CONFIRMED),
        ApplyAnother: To(State.CHECKING),
        Confirm: To(State.CONFIRMED, Answer.ALREADY_CONFIRMED),
        Rollback: To(State.UNDOING),
        Clean: To(State.CONFIRMED, Answer.NOTHING_TO_CLEAN),
    },
    State.DRIFTED: _only_rollback(State.DRIFTED, Answer.DRIFTED) | {Confirm: To(State.ASSESSING)},
    State.ASSESSING: {
        Done: To(State.REPAIRING),
        Failed: To(State.DRIFTED, Answer.REFUSED),
        Hangup: To(State.DRIFTED, Answer.INTERRUPTED),
    },
    State.REPAIRING: _settling(State.REPAIRING, To(State.CONFIRMED, Answer.REPAIRED))
    | {Failed: To(State.DRIFTED, Answer.REFUSED)},
    State.STRAY: _only_rollback(State.STRAY, Answer.STRAY),
    State.CLEARING: _removal(State.CLEARING, To(State.CHECKING)),
    State.BACKING_OUT: _removal(State.BACKING_OUT, To(State.NOTHING, Answer.FELL_BACK)),
    State.WITHDRAWING: _removal(State.WITHDRAWING, To(State.NOTHING, Answer.NOT_KEPT)),
    State.UNDOING: _undoing(State.UNDOING, To(State.RESTORING)),
    State.RESTORING: _undoing(State.RESTORING, To(State.NOTHING, Answer.UNDONE)),
}


@dataclass(frozen=True, slots=True)
class Rollout:
    """A rollout at one moment: its state, and why it is not where the operator wanted it, "" while all goes well."""

    state: State
    why: str = ""


def step(rollout: Rollout, event: Event) -> tuple[Rollout, tuple[Command, ...]]:
    """One event in, the rollout after it and its commands out. KeyError for an event that cannot happen here."""
    row = TABLE[rollout.state][type(event)]
    said = (rollout.why, event.why if isinstance(event, Failed | Hangup) else "")
    after = Rollout(row.state, "; then ".join(filter(None, said)))
    return after, _commands(rollout.state, after, row.answer)


def _commands(before: State, after: Rollout, answer: Answer | None) -> tuple[Command, ...]:
    """The journal first, then the work or the answer; no record of what the journal says already."""
    if answer is None:
        work = WORK[after.state]
        record = Record(after.state, must=work is not Do.REMOVE_RULES)
        return (work,) if after.state in UNRECORDED else (record, work)
    if after.state is UNRECORDED.get(before, before):
        return (Reply(answer, after.why),)
    return (Record(SEEN_AS.get(after.state, after.state)), Reply(answer, after.why))
