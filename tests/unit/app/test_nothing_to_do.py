"""A proposal that proposes nothing: when that is an answer, and when it is not one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.app.plan import Inputs, make_plan
from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import Counters
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.service import Direction, Service
from conntrim.core.plan.compile import compiled
from conntrim.core.plan.own import fingerprint
from conntrim.render.plan import answer
from tests.fakes.facts import HEALTHY
from tests.unit.core.plan.planning import WEB
from tests.unit.core.plan.test_propose import count, counted
from tests.unit.core.plan.test_replacing import BASE, request

GATEWAY = counted(*(count(Service(Direction.FORWARDED, 6, port), 10) for port in (443, 80, 8443, 993)))
NOTHING = "nothing to do: no cure takes 5 % of the table, and its size needs no change, entries 40 -> 40"


def test_a_gateway_with_room_needs_nothing_and_that_is_a_yes() -> None:
    """Nothing can go untracked, nothing is idle for long, the table is nearly empty: proved, with the numbers."""
    plan = make_plan(Inputs(BASE, "", HEALTHY, GATEWAY)).plan
    assert (answer(plan), plan.status(), plan.trial, plan.settings) == (NOTHING, ObligationStatus.PROVED, (), {})
    assert plan.remarks[0] == "40 of 262,144 entries are there now: at most half, so the size may stay"
    assert len(plan.left_out) == 4


def test_packets_dropped_earlier_are_not_passed_over() -> None:
    """The table has room now and had none before: who asks in an outage is sent on."""
    facts = replace(HEALTHY, counters=Counters({"drop": 7_000}, "test"))
    plan = make_plan(Inputs(BASE, "", facts, GATEWAY)).plan
    assert plan.remarks[1] == "7,000 packets were dropped since boot: conntrim diagnose tells when and why"


def test_a_full_table_gets_a_size_all_the_same() -> None:
    """Nothing else helps: a plan of settings, not an answer that nothing is to be done."""
    plan = make_plan(Inputs(BASE, "", replace(HEALTHY, max=64, buckets=64), GATEWAY)).plan
    assert plan.settings["net.netfilter.nf_conntrack_max"] == 65_536
    assert answer(plan).startswith("ready: 2 settings")


def test_a_confirmed_plan_is_not_replaced_by_nothing() -> None:
    """Its services are gone from the table, that is what it is for: nothing is to be done, and nothing is taken out."""
    loaded = compiled(request(WEB)).after
    plan = make_plan(Inputs(loaded, fingerprint(loaded), HEALTHY, GATEWAY)).plan
    assert (answer(plan), plan.replaces, plan.trial, plan.rollback_confirmed) == (NOTHING, (), (), ())


def test_of_files_the_size_is_not_known_and_each_obstacle_is_named_once() -> None:
    """Neither yes nor no, whose fault it is not: the reasons, and what to do."""
    with pytest.raises(InputError) as refused:
        make_plan(Inputs(BASE, "", replace(HEALTHY, max=None), GATEWAY))
    said = str(refused.value)
    assert "(4 services: forwarded flows belong to other hosts)" in said
    assert "its max is not known here, so the size is not decided" in said
    assert len(said) < 300
    assert "run it on the host" in said
