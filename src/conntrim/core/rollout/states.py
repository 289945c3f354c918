"""Where a rollout can stand; the names are what the journal holds."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """At rest, or moving. A moving state found at the start of a run means that the run before it died there."""

    NOTHING = "nothing"
    PENDING = "pending"
    TRIAL = "trial"
    EXPIRED = "expired"
    LOST = "lost"
    CONFIRMED = "confirmed"
    DRIFTED = "drifted"
    STRAY = "stray"

    CHECKING = "checking"
    LOADING = "loading"
    PROBING = "probing"
    CLEARING = "clearing"
    BACKING_OUT = "backing out"
    REVIEWING = "reviewing"
    ASSESSING = "assessing"
    SWAPPING = "swapping"
    KEEPING = "keeping"
    PURGING = "purging"
    TUNING = "tuning"
    WRITING = "writing"
    REPAIRING = "mending"
    """Journals and JSON keep the name of the release before."""
    WITHDRAWING = "withdrawing"
    UNDOING = "undoing"
    RESTORING = "restoring"


OBSERVED = frozenset({State.EXPIRED, State.LOST, State.DRIFTED, State.STRAY})
"""Never in the journal: seen by looking at the clock and the kernel (`status.py`)."""
RESTING = OBSERVED | {State.NOTHING, State.PENDING, State.TRIAL, State.CONFIRMED}
SETTLING = frozenset({State.KEEPING, State.PURGING, State.TUNING, State.WRITING, State.REPAIRING})
"""The rules are kept; what goes with them is not complete."""
