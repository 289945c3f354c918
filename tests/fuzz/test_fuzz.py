"""Inputs that somebody else has written: no traceback, no file outside, no program, bounded time and memory."""

import os

import pytest

from tests.fuzz.run import KEPT, acting_kinds, fuzz, kinds, tried

SECONDS = float(os.environ.get("CONNTRIM_FUZZ", "8"))


def test_a_short_run_finds_nothing() -> None:
    """Some hundred broken plans, journals, policies, rules, listings and logs; `make fuzz` does it for ten minutes."""
    runs, faults = fuzz(SECONDS, seed=os.getpid())
    assert faults == []
    assert sum(runs.values()) > 5


@pytest.mark.parametrize("name", sorted(path.name for path in KEPT.glob("*-*")))
def test_what_once_failed_does_not_any_more(name: str) -> None:
    """Inputs that a run has found, made small."""
    kind, at, _ = name.split("-")
    among = kinds()
    if kind not in among:
        among = acting_kinds()
    assert tried(kind, among[kind].verbs[int(at)], (KEPT / name).read_bytes(), among).fault == ""
