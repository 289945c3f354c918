"""What is proved again is what is loaded: the rules of now, whatever a plan of today would write."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.ruleset import Dialect
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.compile import Request, compile_plan, compiled
from conntrim.core.plan.loaded import loaded
from tests.unit.core.plan.planning import CACHE, WEB, facts, filtered, rules

HOST = facts("192.168.0.18")
BASE = rules(
    filtered(
        "-i lo -j ACCEPT", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT",
        "-p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT",
    )
)  # fmt: skip
LIMIT = '[[limit]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [22]\nconnections = 5\n'
TIMED = '[[timeout]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [22]\nseconds = { established = 600 }\n'
DIALECTS = [Dialect.IPTABLES_NFT, Dialect.NFTABLES]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rules_for_the_ports_of_then_are_broken_by_the_ports_of_now(dialect: Dialect) -> None:
    """The loaded rules name the ports that this host's clients used; a plan of today would name others."""
    request = Request(parse_policy(CACHE.encode(), "policy"), BASE, HOST, dialect)
    made, now = compile_plan(request), compiled(request).after
    assert {ObligationStatus.PROVED} == {o.standing for o in loaded(made, now, HOST)}
    found = {o.name: o.standing for o in loaded(made, now, replace(HOST, local_ports=(20000, 60999)))}
    assert ObligationStatus.BROKEN is found["two-sided"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_a_limit_refuses_is_no_loss_of_the_services(dialect: Dialect) -> None:
    """Each kind of cure is judged by its own rules among those that are loaded: as the plan was."""
    request = Request(parse_policy((WEB + LIMIT + TIMED).encode(), "policy"), BASE, HOST, dialect)
    made, now = compile_plan(request), compiled(request).after
    before = {o.name: o.standing for o in made.obligations}
    found = {o.name: o.standing for o in loaded(made, now, HOST)}
    assert {"no-loss", "only-over-limit", "exact-entries", "verdicts-kept"} <= found.keys()
    assert {name: before[name] for name in found} == found
