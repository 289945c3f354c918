"""What is said where a trial cannot be loaded for want of a program."""

from __future__ import annotations

import pytest

from conntrim.app.plan import Inputs, make_plan
from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import Batch, ObligationStatus
from conntrim.core.parse.policy import parse_policy
from conntrim.core.parse.ruleset import read
from conntrim.core.rollout.record import Guard
from conntrim.host import trial_load
from conntrim.host.clock import HostClock
from tests.fakes.facts import HEALTHY

GATEWAY = """\
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
"""
POLICY = b"""\
[[timeout]]
direction = "forwarded"
protocol = "udp"
ports = [53]
seconds = { unreplied = 15, replied = 30 }
"""


def test_a_host_of_iptables_without_nft_is_told_what_a_timeout_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is made, is not ready, and its witness names what is missing; no program is started."""
    monkeypatch.setattr(trial_load, "programs_missing", lambda name: name == "nft")
    guard = Guard.starting(HostClock().now(), 60)

    def check(batch: Batch) -> str:
        assert batch.program == "nft"
        return trial_load.complaint(batch, None, guard)

    policy = parse_policy(POLICY, "policy.toml")
    plan = make_plan(Inputs(read(GATEWAY, "rules"), "", HEALTHY, policy=policy, check=check)).plan
    loads = next(o for o in plan.obligations if o.name == "loads")
    assert (loads.standing, loads.why) == (ObligationStatus.BROKEN, "nft refuses a batch")
    assert "Debian's package nftables has it" in loads.witness
    assert [o.name for o in plan.obligations if o.standing is not ObligationStatus.PROVED] == ["loads"]


def test_where_no_namespace_may_be_made_it_is_not_decided() -> None:
    """A container without the right to one: `--test` alone is no kernel's yes."""

    def check(batch: Batch) -> str:
        raise HostError("unshare", f"Operation not permitted for {batch.program}")

    policy = parse_policy(POLICY, "policy.toml")
    plan = make_plan(Inputs(read(GATEWAY, "rules"), "", HEALTHY, policy=policy, check=check)).plan
    loads = next(o for o in plan.obligations if o.name == "loads")
    assert (loads.standing, loads.why) == (
        ObligationStatus.NOT_DECIDED,
        "no kernel was asked to load the texts: unshare: Operation not permitted for nft",
    )
