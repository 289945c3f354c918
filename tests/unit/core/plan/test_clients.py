"""Whom the filter lets ask a service: the legs that a plan gives it."""

from __future__ import annotations

import pytest

from tests.unit.core.plan.planning import INBOUND, WEB, facts, filtered, plan

LO = "-i lo -j ACCEPT"
ESTABLISHED = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
OPEN = "{}-p tcp -m tcp --dport {} -m conntrack --ctstate NEW -j ACCEPT"
TWO = INBOUND.format("tcp", "80, 11211")

CASES: dict[str, tuple[str, tuple[str, ...], set[str]]] = {
    "all": (WEB, (OPEN.format("", 80),), {""}),
    "one network": (WEB, (OPEN.format("-s 10.0.0.0/8 ", 80),), {"-s 10.0.0.0/8 "}),
    "two networks": (
        WEB, (OPEN.format("-s 10.0.0.0/8 ", 80), OPEN.format("-s 192.0.2.0/24 ", 80)),
        {"-s 10.0.0.0/8 ", "-s 192.0.2.0/24 "},
    ),
    "a network, and all by one interface": (
        WEB, (OPEN.format("-s 10.0.0.0/8 ", 80), OPEN.format("-i eth1 ", 80)), {""},
    ),
    "by port": (TWO, (OPEN.format("", 80), OPEN.format("-s 10.0.0.0/8 ", 11211)), {"", "-s 10.0.0.0/8 "}),
    "all but one": (WEB, ("-s 192.0.2.7/32 -j DROP", OPEN.format("", 80)), {""}),
    "a queue decides": (WEB, ("-p tcp -m tcp --dport 80 -j NFQUEUE --queue-num 1",), {""}),
    "nobody": (WEB, (), set()),
    "multicast only": (WEB, ("-m pkttype --pkt-type multicast -j ACCEPT",), set()),
}  # fmt: skip
"""The policy, what is behind the accept by state, and the sources that the rules in raw PREROUTING name."""


@pytest.mark.parametrize("name", CASES)
def test_requests_go_untracked_from_whom_the_filter_admits(name: str) -> None:
    """From the sources of the accepting rules, where these say it all in few addresses; else from anybody."""
    policy, rules, expected = CASES[name]
    made = plan(policy, filtered(LO, ESTABLISHED, *rules))
    requests = [c.rule for c in made.changes if c.chain == "ip raw CONNTRIM-PREROUTING"]
    assert expected == {rule.partition("-p tcp")[0] for rule in requests}
    replies = [c.rule for c in made.changes if c.chain == "ip raw CONNTRIM-OUTPUT" and "-o lo" not in c.rule]
    assert {words.replace("-s", "-d") for words in expected} == {rule.partition("-p tcp")[0] for rule in replies}


def test_what_goes_over_lo_is_untracked_for_everybody() -> None:
    """The filter's sources say nothing of lo, so both directions have a leg of their own there."""
    made = plan(WEB, filtered(LO, ESTABLISHED, OPEN.format("-s 10.0.0.0/8 ", 80)), facts("192.168.0.18"))
    found = [c.rule.split(" -m ")[0] for c in made.changes if c.chain == "ip raw CONNTRIM-OUTPUT" and "-o lo" in c.rule]
    assert ["-o lo -p tcp", "-o lo -p tcp"] == found
    assert ("inbound tcp/80 over IPV4: the rules let only 10.0.0.0/8 ask, so that is who goes untracked",) == tuple(
        r for r in made.remarks if "ask" in r
    )


def test_the_host_s_own_address_is_no_gap() -> None:
    """Nobody else sends from an address of ours: a network that holds it is named whole."""
    made = plan(WEB, filtered(LO, ESTABLISHED, OPEN.format("-s 192.168.0.0/24 ", 80)))
    requests = [c.rule for c in made.changes if c.chain == "ip raw CONNTRIM-PREROUTING"]
    assert ["-s 192.168.0.0/24 "] == [rule.partition("-p tcp")[0] for rule in requests]


def test_open_at_another_s_address_is_closed() -> None:
    """A rule that opens the port of an address which is none of this host's lets nobody ask this host."""
    made = plan(WEB, filtered(LO, ESTABLISHED, OPEN.format("-d 192.168.0.99/32 ", 80)))
    assert ("inbound tcp/80",) == made.closed
