"""Where a rollout stands by the clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.core.model.plan import Batch
from conntrim.core.rollout.record import Guard, Journal, Moment
from conntrim.core.rollout.states import State
from conntrim.core.rollout.status import seconds_left
from tests.fakes.plans import fake_plan

NOW = Moment(1_000_000.25, 500.5, "boot")
XT, NFT = "iptables-nft-restore", "nft"


@pytest.mark.parametrize(("programs", "left"), [
    ([XT] * 6, 10.75), ([NFT] * 3, 9.0), ([XT] * 5 + [NFT], 7.5), ([NFT], 10.0),
])  # fmt: skip
def test_batches_of_nft_end_one_after_the_other_others_together(programs: list[str], left: float) -> None:
    """Half a second apart; the second guard of iptables, by the time since boot, is none of nft's elements."""
    plan = replace(fake_plan(), trial=tuple(Batch(program, "") for program in programs))
    journal = Journal(State.TRIAL, plan, Guard.starting(NOW, 10, recent=True))
    assert seconds_left(journal, NOW) == left
