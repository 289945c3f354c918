"""The guard's arithmetic on both clocks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.core.rollout.record import Guard, Moment

NOW = Moment(1_000_000.25, 500.5, "boot")


def test_the_last_matching_second_is_the_one_before_the_deadline() -> None:
    """A trial of two seconds from .25: rules match through second 02, are inert from 03 on, as told."""
    guard = Guard.starting(NOW, 2)
    assert (guard.wall, guard.datestop()) == (1_000_003, "1970-01-12T13:46:42")


def test_an_nft_element_lives_to_the_millisecond() -> None:
    """`@SECONDS@s` becomes a time that nft reads, and never zero."""
    guard = Guard.starting(NOW, 59.25)
    assert guard.timeout(NOW) + "s" == "59s250ms"
    assert guard.timeout(replace(NOW, since_boot=600.0)) + "s" == "0s1ms"


@pytest.mark.parametrize(
    ("programs", "left"),
    [({"nft"}, 10.0), ({"iptables-nft-restore"}, 10.75), ({"nft", "iptables-nft-restore"}, 10.0), (set(), 10.0)],
)
def test_the_clock_is_that_of_the_program(programs: set[str], left: float) -> None:
    """nft's guard goes by the time since boot, iptables' by the wall clock; the earlier end counts."""
    assert Guard.starting(NOW, 10).left(programs, NOW) == left


def test_a_clock_set_back_does_not_prolong_a_trial() -> None:
    """An hour back on the wall clock: the second guard, by the time since boot, ends the trial two seconds late."""
    stepped = replace(NOW, wall=NOW.wall - 3600)
    assert Guard.starting(NOW, 10).left({"iptables-nft-restore"}, stepped) == 3610.75
    assert Guard.starting(NOW, 10, recent=True).left({"iptables-nft-restore"}, stepped) == 12.0


def test_another_boot_leaves_nothing() -> None:
    """After a restart no guarded rule is loaded, whatever the clocks say."""
    assert Guard.starting(NOW, 10).left({"nft"}, replace(NOW, boot="next")) == 0.0


def test_untracking_ends_before_the_accepts() -> None:
    """Later batches, the untracking, expire first on the boot clock and with the others on the wall clock."""
    guard = Guard.starting(NOW, 10)
    assert (guard.staggered(1).since_boot, guard.staggered(1).wall) == (guard.since_boot - 0.5, guard.wall)
