"""The oracle of plans: planted lies are found, a short run on this kernel has no disagreement."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conntrim import wiring
from conntrim.core.model.address import Family
from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.lab.held.kept import MENDED, OPEN, script_of
from conntrim.lab.held.talks import made as talk
from conntrim.lab.plans.course import Bench, World
from conntrim.lab.plans.court import Exhibit, Wanted, bench, run, tried
from conntrim.lab.plans.hosts import PlannedHost, Wish
from conntrim.lab.plans.judge import PlanFault
from conntrim.lab.plans.kept import format_course, parse_course
from conntrim.lab.plans.talks import Talks, by_the_uplink

HONEST = World(wiring.live, wiring.rollout)
FILES = sorted((Path(__file__).parent / "kept" / "plans").glob("*.course"))
SEED, HOSTS = 11, 4
GATE = """\
*filter
:INPUT DROP
:FORWARD ACCEPT
:OUTPUT ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p udp --dport 5353 -j ACCEPT
-A INPUT -p tcp --dport 8081 -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT
:POSTROUTING ACCEPT
-A POSTROUTING -o eth0 -j MASQUERADE
COMMIT
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Bench]:
    """One bench for all tests."""
    with bench("courses") as both:
        yield both


def gate(wish: Wish, talks: Talks, *, strict: bool = False, keeps: bool = False) -> Exhibit:
    """A gateway with services of its own."""
    script = script_of([("iptables-restore", GATE)])
    return Exhibit(PlannedHost("gate", (script,), (wish,), strict=strict, keeps=keeps), talks)


def all_proved(plan: Plan) -> Plan:
    """The lie that everything is proved."""
    proved = tuple(replace(o, standing=ObligationStatus.PROVED) for o in plan.obligations)
    return replace(plan, obligations=proved)


@pytest.mark.parametrize("keeps", [False, True])
def test_a_plan_that_is_wrongly_proved_is_caught(made: Bench, keeps: bool) -> None:
    """A gateway's client that asks from the service's own port loses its answers: seen on trial and confirmed."""
    through = talk("udp", "through from behind", Family.IPV4, port=443, client=5353)
    shown = gate(Wish("inbound", "udp", 5353), Talks((through,), (), ()), keeps=keeps)
    honest = tried(made, HONEST, shown)
    assert {} == {d.kind: d.words for d in honest.found}
    found = tried(made, replace(HONEST, proved=all_proved), shown).found
    phases = {"on trial", "confirmed"} if keeps else {"on trial"}
    assert {(PlanFault.LOST, phase) for phase in phases} == {(d.fault, d.phase) for d in found}


def test_a_cost_that_is_not_listed_is_caught(made: Bench) -> None:
    """With loose pick-up off a connection opened while untracked does not fall back: listed, and a fault if not."""
    late = talk("tcp", "in from far", Family.IPV4, port=8081)
    shown = gate(Wish("inbound", "tcp", 8081), Talks((), (), (late,)), strict=True)
    assert () == tried(made, HONEST, shown).found
    found = tried(made, replace(HONEST, proved=lambda plan: replace(plan, costs=())), shown).found
    assert [(PlanFault.ACROSS, "expired")] == [(d.fault, d.phase) for d in found]


UPLINKS = """\
*mangle
-A PREROUTING -i eth1 -m conntrack --ctstate NEW -j CONNMARK --set-xmark 0x7/0xffffffff
-A OUTPUT -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff
COMMIT
"""


def test_answers_that_leave_by_another_uplink_are_caught(made: Bench) -> None:
    """Where routing goes by a mark that the entry keeps, an untracked answer takes another way than a tracked one."""
    inward = by_the_uplink(talk("tcp", "in from far", Family.IPV4, port=8081))
    host = PlannedHost("uplinks", (script_of([("iptables-restore", UPLINKS)]),), (Wish("inbound", "tcp", 8081),))
    shown = Exhibit(replace(host, uplink=7, keeps=False), Talks((inward,), (), ()))
    assert () == tried(made, HONEST, shown).found
    found = tried(made, replace(HONEST, proved=all_proved), shown).found
    assert (PlanFault.LOST, "on trial") in {(d.fault, d.phase) for d in found}


def test_a_short_run_has_no_disagreement() -> None:
    """Some hosts of the run that is written down: their plans are proved, or it is counted why not."""
    found = run(Wanted(HOSTS, SEED), HONEST)
    assert {} == found.disagreements
    assert HOSTS == found.rulesets + found.refused
    assert found.claims["plans"] == sum(
        found.claims.get(f"plans {how}", 0) for how in ("proved", "broken", "not decided")
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_mended_stays_mended(made: Bench, path: Path) -> None:
    """A course that was wrong once is run again; GOLDEN=accept writes what holds now."""
    kept = parse_course(path.read_text(encoding="utf-8"), path.name)
    kinds = {each.kind for each in tried(made, HONEST, Exhibit(kept.host, kept.talks)).found}
    if os.environ.get("GOLDEN") == "accept":
        status = OPEN if kept.kind in kinds else MENDED
        path.write_text(format_course(replace(kept, status=status)), encoding="utf-8")
    else:
        assert kept.status == OPEN or kept.kind not in kinds
