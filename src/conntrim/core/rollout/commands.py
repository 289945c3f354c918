"""What a rollout wants done: at most one thing under way, and what is to be written down or said."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from conntrim.core.rollout.states import State


class Do(StrEnum):
    """The work; each ends with `Done`, `Failed` or `Hangup`."""

    CHECK_TRIAL = "check the plan"
    LOAD_TRIAL = "load the guarded rules"
    PROBE = "probe the guarded rules"
    CHECK_MEND = "check what is gone"
    CHECK_CONFIRM = "check the unguarded rules"
    LOAD_KEPT = "place the unguarded rules beside the guarded ones"
    KEEP = "keep the unguarded rules"
    PURGE = "delete the stale entries"
    TUNE = "set the sysctls"
    WRITE_FILES = "write the files"
    REPAIR = "load again what is gone"
    REMOVE_RULES = "take out the rules"
    RESTORE = "put back sysctls and files"


@dataclass(frozen=True, slots=True)
class Record:
    """Write the state to the journal, before anything else is done.

    `must`: where that fails, the work that follows is not begun. Taking rules out is begun even so.
    """

    state: State
    must: bool = True


class Answer(Enum):
    """What the operator is told at the end, and the exit code that goes with it."""

    STANDS = ("status", 0)
    ARMED = ("armed", 0)
    PENDING = ("noted", 0)
    ALREADY_ARMED = ("already on trial", 0)
    ALREADY_CONFIRMED = ("already confirmed", 0)
    KEPT = ("confirmed", 0)
    REPAIRED = ("confirmed again", 0)
    UNDONE = ("rolled back", 0)
    NOTHING_TO_UNDO = ("nothing to undo", 0)
    NOTHING_TO_CLEAN = ("nothing to clean", 0)
    WOULD_APPLY = ("nothing loaded: an apply would pass all checks", 0)
    REFUSED = ("refused", 1)
    NO_TRIAL = ("no trial", 1)
    NOT_KEPT = ("not kept", 1)
    FELL_BACK = ("fell back", 1)
    STILL_ARMED = ("still armed", 1)
    OTHER_TRIAL = ("another plan is on trial", 1)
    UNFINISHED_CONFIRM = ("the confirm is unfinished", 1)
    UNFINISHED_ROLLBACK = ("the rollback is unfinished", 1)
    DRIFTED = ("confirmed rules are gone", 1)
    STRAY = ("unknown rules of ours", 1)
    STUCK = ("could not take everything out", 1)
    INTERRUPTED = ("interrupted", 1)
    NOT_RECORDED = ("done, but the journal could not be written", 1)

    def __init__(self, words: str, exit_code: int) -> None:
        self.words, self.exit_code = words, exit_code


@dataclass(frozen=True, slots=True)
class Reply:
    """The end of this run: the answer, and why where something stood in the way."""

    answer: Answer
    why: str = ""


Command = Do | Record | Reply
