"""The directory of a plan that is on trial is nobody's to write."""

from __future__ import annotations

from conntrim.core.model.errors import InputError
from conntrim.core.rollout.record import Journal, Moment
from conntrim.core.rollout.states import SETTLING, State
from conntrim.core.rollout.status import seconds_left


def refuse_on_trial(directory: str, name: str, journal: Journal, now: Moment) -> None:
    """InputError for the directory of the plan that is on trial: whoever decides about it looks there."""
    under_way = journal.state in SETTLING or (journal.state is not State.CONFIRMED and seconds_left(journal, now) > 0)
    if under_way and journal.plan is not None and journal.plan.name == name:
        advice = "conntrim confirm or conntrim rollback first, or name another directory"
        raise InputError(directory, f"this directory holds {name}, which is on trial", advice=advice)
