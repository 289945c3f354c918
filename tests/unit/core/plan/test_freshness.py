"""A plan is for one rule set; what has changed since is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.circumstances import TCP_LOOSE, Circumstances
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.parse.policy import parse_policy
from conntrim.core.parse.ruleset import read
from conntrim.core.plan.freshness import around, differences, elsewhere, made_for, shown
from conntrim.core.plan.own import fingerprint, parts
from tests.fakes.plans import fake_plan
from tests.unit.core.plan.planning import facts

BEFORE = """\
*filter
:INPUT ACCEPT [0:0]
:MINE - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A MINE -j DROP
COMMIT
"""


def ruleset(text: str) -> Ruleset:
    """A saved rule set."""
    return read(text.encode(), "rules")


HERE = Circumstances("4711", "web1", "", ("192.0.2.1",), ("eth0", "lo"), {TCP_LOOSE: "1"})
COMMENT = '-m comment --comment "conntrim:1a2b3c4d inbound tcp/80 request"'
PLAN = replace(
    fake_plan(), ruleset_digest=fingerprint(ruleset(BEFORE)), ruleset_parts=parts(ruleset(BEFORE))
)  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[0:0]", "[7:99]", ""),
        ("-A MINE", f"-A INPUT -m conntrack --ctstate UNTRACKED {COMMENT} -j ACCEPT\n-A MINE", ""),
        ("-A MINE", f"-A INPUT -p tcp {COMMENT} -j ACCEPT\n-A MINE",
         "chain INPUT of iptables-nft ip filter has changed"),
        ("--dport 22", "--dport 23", "chain INPUT of iptables-nft ip filter has changed"),
        (":MINE - [0:0]\n", ":MINE - [0:0]\n:OURS - [0:0]\n", "chain OURS of iptables-nft ip filter is new"),
        (":MINE - [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n-A MINE -j DROP\n", "-A INPUT -j DROP\n",
         "chain MINE of iptables-nft ip filter is gone, chain INPUT of iptables-nft ip filter has changed"),
    ],
)  # fmt: skip
def test_the_chains_that_differ_are_named(old: str, new: str, expected: str) -> None:
    """Counters and our own rules are no difference; a changed, new or missing chain is one."""
    assert old in BEFORE
    assert shown(differences(PLAN, ruleset(BEFORE.replace(old, new, 1)), HERE)) == expected


def test_a_plan_that_says_nothing_is_never_stale() -> None:
    """A plan made by hand has no digest."""
    assert differences(fake_plan(), ruleset(BEFORE), HERE) == ()
    assert elsewhere(fake_plan(), HERE) == ""


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (replace(HERE, host_name="renamed"), ""),
        (replace(HERE, addresses=("192.0.2.0-192.0.2.1",)), "address 192.0.2.0 is new"),
        (replace(HERE, addresses=("2001:db8::1",)), "address 192.0.2.1 is gone, address 2001:db8::1 is new"),
        (replace(HERE, settings={TCP_LOOSE: "0"}), f"{TCP_LOOSE} is 0, was 1"),
        (replace(HERE, settings={}), f"{TCP_LOOSE} is not there, was 1"),
        (replace(HERE, interfaces=("lo",)), "interface eth0 is gone"),
        (replace(HERE, interfaces=("eth0", "lo", "veth7")), ""),
    ],
)  # fmt: skip
def test_addresses_settings_and_named_interfaces_are_part_of_it(here: Circumstances, expected: str) -> None:
    """What the proofs used is named with what it is and was; an interface that no rule names is nobody's matter."""
    rules = ruleset(BEFORE.replace("-A INPUT", "-A INPUT -i eth0", 1))
    made = replace(fake_plan(), circumstances=replace(HERE, interfaces=("eth0",)))
    assert shown(differences(made, rules, here)) == expected


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (replace(HERE, host_name="renamed"), ""),
        (replace(HERE, host="4712", host_name="web2"), "and this is the first namespace of host web2"),
        (replace(HERE, namespace="blue"), "and this is namespace blue of host web1"),
    ],
)  # fmt: skip
def test_a_plan_is_for_one_host_and_namespace(here: Circumstances, expected: str) -> None:
    """Told by the host's number and the namespace's name; the host's own name may change."""
    said = elsewhere(replace(fake_plan(), circumstances=HERE), here)
    assert said == (f"this plan was made for the first namespace of host web1, {expected}" if expected else "")


def test_a_listener_that_is_gone_is_a_difference() -> None:
    """K74: no-loss may rest on who listens at a service's port; one that is gone, not one that came, is told."""
    made = replace(fake_plan(), circumstances=replace(HERE, interfaces=(), listening=("IPV4 tcp/80", "IPV6 tcp/80")))
    here = replace(HERE, listening=("IPV4 tcp/80", "IPV4 tcp/8080"))
    assert ("no program listens at IPV6 tcp/80 any more",) == differences(made, ruleset(BEFORE), here)
    assert () == around(made, here)


def test_a_plan_keeps_the_listeners_of_its_services() -> None:
    """Of all ports that programs listen at those of the policy's inbound TCP services are kept."""
    policy = parse_policy(
        b'[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = ["80-81"]\n'
        b'[[untrack]]\ndirection = "inbound"\nprotocol = "udp"\nports = [53]\n', "policy"
    )  # fmt: skip
    listening = {Family.IPV4: Intervals.of(22, 53, 80), Family.IPV6: Intervals.of(81)}
    host = replace(facts("192.168.0.18"), circumstances=HERE, listening=listening)
    assert ("IPV4 tcp/80", "IPV6 tcp/81") == made_for(host, ruleset(BEFORE), policy).listening


def test_addresses_that_are_there_at_times_make_no_plan_stale() -> None:
    """What a policy names in `own_addresses` may come and go; another address is a difference."""
    made = replace(PLAN, policy=replace(PLAN.policy, own_addresses=Intervals.of(parse_address("192.0.2.50"))))
    made = replace(made, circumstances=HERE)
    assert () == around(made, replace(HERE, addresses=("192.0.2.1", "192.0.2.50")))
    assert ("address 192.0.2.51 is new",) == around(made, replace(HERE, addresses=("192.0.2.1", "192.0.2.51")))
