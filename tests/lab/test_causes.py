"""Each cause is made on this kernel, and named first: live, and from the listing that the kernel prints."""

from __future__ import annotations

import fcntl

import pytest

from conntrim.lab.cause_run import Outcome, run
from conntrim.lab.cause_scenarios import HEALTHY, SCENARIOS
from conntrim.lab.limits import LOCK


@pytest.fixture(scope="module")
def outcomes() -> tuple[Outcome, ...]:
    """All scenarios in short."""
    return run(600)


def test_the_right_cause_is_named_first_and_no_false_one(outcomes: tuple[Outcome, ...]) -> None:
    """In all scenarios, both ways of looking; and nothing else is a warning."""
    wrong = [outcome for outcome in outcomes if outcome.wanted and not outcome.right]
    assert wrong == []
    assert len({outcome.wanted for outcome in outcomes if outcome.wanted}) >= 24
    assert len(outcomes) == 2 * sum(len(scenario.nat) for scenario in (*SCENARIOS, *HEALTHY))


def test_healthy_hosts_have_none(outcomes: tuple[Outcome, ...]) -> None:
    """However busy, where there is room."""
    assert [outcome for outcome in outcomes if not outcome.wanted and not outcome.right] == []
    assert sum(not outcome.wanted for outcome in outcomes) >= 12


def test_nobody_changes_the_size_beside_it() -> None:
    """While scenarios are made the lock of the table's size is held, and free for the next run after it."""
    held = []

    def try_it(_: str) -> None:
        with open(LOCK, "a+", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(True)

    assert run(100, [SCENARIOS[0]], try_it)
    assert held == [True] * len(SCENARIOS[0].nat)
