"""A confirmed plan is replaced by the next in one step, and put back: no request fails, no connection is cut."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from conntrim import wiring
from conntrim.app.plan import Inputs, make_plan
from conntrim.app.rollout import apply, clean, confirm, rollback, status
from conntrim.app.rollout_run import programs_of
from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.core.model.ruleset import Rule
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.own import fingerprint
from conntrim.core.rollout.claim import claim_of
from conntrim.core.rollout.states import State
from conntrim.host.operator import operator as operator_now
from conntrim.lab.netns import LabHost, lab_host
from conntrim.lab.site import DATABASE, WEB, site
from tests.fakes.schemas import validated
from tests.lab.barrage import barrage
from tests.lab.connections import CLIENT, SERVER, Connection, Server, fates
from tests.lab.test_rollout import until
from tests.lab.test_rollout_load import KINDS, OUTSIDER, ab, go_through
from tests.lab.test_rollout_plans import SwiftOperator, listing, load_firewall

INBOUND = '[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [{}]\n'
FIRST, SECOND = INBOUND.format(80), INBOUND.format(80) + INBOUND.format(11211)
"""The page's service; and with it another one, over which connections are kept open."""


def planned(host: LabHost, policy: str) -> Plan:
    """The plan of a policy on the host as it is now, proved."""
    ruleset = wiring.listing().read(host.name).ruleset
    facts, check = wiring.facts().read(host.name), wiring.batch_check(host.name)
    wanted = parse_policy(policy.encode(), "policy")
    plan = make_plan(Inputs(ruleset, fingerprint(ruleset), facts, policy=wanted, check=check)).plan
    assert plan.status() is ObligationStatus.PROVED, plan.obligations
    return plan


def chains(host: LabHost) -> dict[tuple[str, ...], tuple[Rule, ...]]:
    """All chains with rules that the kernel lists, in whatever order it lists them."""
    tables = wiring.listing().read(host.name).ruleset.tables
    return {(t.dialect, t.family, t.name, c.name): c.rules for t in tables for c in t.chains if c.rules}


def cut(connections: list[Connection]) -> dict[str, str]:
    """What becomes of those that do not simply go on."""
    return {one.name: fate for one, fate in zip(connections, fates(connections), strict=True) if fate}


@pytest.mark.parametrize("kind", KINDS)
def test_replacing_fails_no_request_and_cuts_no_connection(tmp_path: Path, kind: str) -> None:
    """Another service is added, kept, taken back, tried until it expires: all requests and SYNs to the service are
    answered, none to the closed port is, whoever holds a connection goes on; each way back is the listing of before.
    """
    with site(f"outsider={OUTSIDER.rpartition('.')[2]}") as made, ExitStack() as stack:
        web = made.web
        load_firewall(web, kind)
        bare = listing(web)
        server = Server("inbound tcp/11211", web, made.client, WEB, 11211)
        server.listen(stack)
        ports = wiring.rollout(web.name, str(tmp_path / "state"), str(tmp_path))
        first = planned(web, FIRST)
        open_now: list[Connection] = []

        def opened(name: str) -> None:
            open_now.extend(server.open(f"{name}, {who} next", who) for who in (CLIENT, SERVER))

        def tried(plan: Plan, seconds: float) -> str:
            found = apply(ports, plan, seconds)
            opened("opened on trial")
            return found.answer

        def expired() -> str:
            assert until(lambda: status(ports).state is State.EXPIRED)
            return clean(ports).answer

        opened("opened before")
        with (
            barrage(made.others["outsider"], OUTSIDER, WEB, 80, DATABASE) as fallen,
            ab(made, tmp_path / "ab") as counted,
        ):
            go_through([(partial(tried, first, 60), "armed"), (lambda: confirm(ports).answer, "confirmed")], made)
            kept, second = chains(web), planned(web, SECOND)
            assert second.replaces
            steps: list[tuple[Callable[[], str], str]] = [
                (partial(tried, second, 60), "armed"), (lambda: confirm(ports).answer, "confirmed"),
            ]  # fmt: skip
            go_through(steps, made)
            assert (status(ports).state, status(ports).replaced) == (State.CONFIRMED, first.name)
            opened("opened when replaced")
            go_through([(lambda: rollback(ports).answer, "rolled back")], made)
            assert (status(ports).plan, status(ports).state) == (first.name, State.CONFIRMED)
            assert kept == chains(web)
            go_through([(partial(tried, second, 60), "armed")], made)
            counts = ports.loader.counted(programs_of(second), claim_of(ports.journal.read()))
            assert counts.get("inbound tcp/80 request", 0) > 0  # K105: what the first plan untracks already
            go_through([(lambda: rollback(ports).answer, "rolled back")], made)
            assert kept == chains(web)
            assert {} == cut(open_now)
            go_through([(partial(tried, second, 4), "armed"), (expired, "rolled back")], made)
            assert kept == chains(web)
            go_through([(lambda: rollback(ports).answer, "rolled back")], made)
        assert bare == listing(web)
        assert {} == cut(open_now)
    assert (counted["Failed requests"], counted.get("Non-2xx responses", 0)) == (0, 0)
    assert [(0, 0)] == [(found.unanswered, found.let_in) for found in fallen]
    print(kind, counted, fallen, len(open_now))


@pytest.mark.parametrize("kind", ["nft", "iptables"])
def test_a_replacement_is_reviewed_as_any_plan(tmp_path: Path, kind: str) -> None:
    """At the command line: a directory made beside the confirmed plan is applied, twice, kept and undone; one that was
    made before it, or beside a plan that is gone, is refused, and nothing has changed."""
    with lab_host("web") as host:
        load_firewall(host, kind)
        operator = SwiftOperator(host, tmp_path)

        def made(name: str, policy: str) -> str:
            (tmp_path / f"{name}.toml").write_text(policy)
            done = operator.does("plan", "--policy", str(tmp_path / f"{name}.toml"), "-o", str(tmp_path / name))
            assert (done.returncode, done.stderr) == (0, "")
            return str(tmp_path / name)

        def says(verb: str, *words: str) -> tuple[int, str]:
            done = operator.does(verb, *words)
            return done.returncode, done.stdout.partition(".")[0]

        early, first = made("early", SECOND), made("first", FIRST)
        assert [(0, "Armed"), (0, "Confirmed")] == [says("apply", first), says("confirm")]
        before = chains(host)
        assert (1, "Refused") == says("apply", early)
        second = made("second", SECOND)
        assert [(0, "Armed"), (0, "Already on trial")] == [says("apply", second), says("apply", second)]
        assert (1, "Another plan is on trial") == says("apply", first)
        assert [(0, "Rolled back"), (0, "Already confirmed")] == [says("rollback"), says("apply", first)]
        assert before == chains(host)
        assert [(0, "Armed"), (0, "Confirmed"), (0, "Rolled back")] == [
            says("apply", second), says("confirm"), says("rollback"),
        ]  # fmt: skip
        assert before == chains(host)
        assert (0, "Rolled back") == says("rollback")
        told = validated(operator.does("history", "--json").stdout)["steps"]
        assert ["tried", "confirmed", "refused", "tried", "undone", "tried", "confirmed", "undone", "undone"] == [
            step["what"] for step in told
        ]
        assert [told[0]["plan"]] == [step["replaced"] for step in told if step["what"] == "confirmed"][1:]
        assert {operator_now()} == {step["by"] for step in told}
        assert (1, "Refused") == says("apply", second)
