"""Plans for nftables on a real kernel: accepted, effective, tight, and inert after their time."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.core.model.ruleset import Dialect
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.compile import Request, compile_plan
from conntrim.core.rollout.batches import checkable
from conntrim.host.listing import KernelListing
from conntrim.lab.netns import LabHost, bridged
from tests.lab.planning import (
    CACHE,
    CACHE_POLICY,
    NFT_FIREWALL,
    WEB,
    WEB_POLICY,
    ask,
    deadline,
    entries,
    facts,
    load,
    serve,
)

Hosts = dict[str, LabHost]
ROLES = {"web": (WEB, WEB_POLICY), "cache": (CACHE, CACHE_POLICY)}


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """Web and cache host with an nft firewall, a client, and closed ports behind it that would answer."""
    with bridged(["web=18", "cache=17", "client=66"]) as made:
        for name in ROLES:
            made[name].run("nft", "-f", "-", text=NFT_FIREWALL)
        serve(made["web"], 80)
        serve(made["web"], 3306)
        serve(made["cache"], 11211)
        serve(made["cache"], 3306)
        yield made


def planned(host: LabHost, address: str, policy: bytes) -> Plan:
    """The plan for a lab host as its kernel lists its rules now."""
    ruleset = KernelListing().read(host.name).ruleset
    return compile_plan(Request(parse_policy(policy, "policy.toml"), ruleset, facts(address, listening=(80, 11211))))


def listed(host: LabHost) -> str:
    """The host's rules without handles."""
    return re.sub(r" # handle \d+", "", host.run("nft", "list", "ruleset"))


def connected(hosts: Hosts) -> list[str]:
    """A request to the web host, one from it to the cache, and the web host's to itself."""
    return [ask(hosts["client"], WEB, 80), ask(hosts["web"], CACHE, 11211), ask(hosts["web"], WEB, 80)]


def test_trial_leaves_no_entries_and_lets_nobody_in(hosts: Hosts) -> None:
    """With both trials loaded every service answers without one entry; strangers from port 11211 or 80 get nowhere."""
    assert ["echo"] * 3 == connected(hosts)
    for name, (address, policy) in ROLES.items():
        plan = planned(hosts[name], address, policy)
        assert Dialect.NFTABLES is plan.dialect
        assert {"loads"} == {o.name for o in plan.obligations if o.standing is not ObligationStatus.PROVED}
        load(hosts[name], checkable(plan.trial), deadline(60), check=True)
        load(hosts[name], plan.trial, deadline(60))
        hosts[name].run("conntrack", "-F")
    assert ["echo"] * 3 == connected(hosts)
    assert {"web": 0, "cache": 0} == {name: entries(hosts[name]) for name in ROLES}
    strangers = [ask(hosts["client"], address, 3306, port) for address in (WEB, CACHE) for port in (11211, 80, 0)]
    assert "echo" not in strangers


def test_trial_is_inert_after_its_time(hosts: Hosts) -> None:
    """Nobody takes the rules out, yet connections are tracked again once the set's elements have timed out."""
    web = hosts["web"]
    load(web, planned(web, *ROLES["web"]).trial, deadline(60), seconds=2)
    web.run("conntrack", "-F")
    assert "echo" == ask(hosts["client"], WEB, 80)
    assert 0 == entries(web)
    while not entries(web):
        ask(hosts["client"], WEB, 80)
    assert "echo" == ask(hosts["client"], WEB, 80)


def test_confirm_keeps_and_rollback_restores(hosts: Hosts) -> None:
    """Confirmed rules work without a guard; both ways back end in exactly the rules of before."""
    web = hosts["web"]
    before = listed(web)
    plan = planned(web, *ROLES["web"])
    load(web, plan.trial, deadline(60))
    load(web, plan.rollback_trial, deadline(60))
    assert before == listed(web)
    load(web, plan.trial, deadline(60))
    load(web, plan.confirm, deadline(60))
    assert "conntrim_armed" not in listed(web)
    web.run("conntrack", "-F")
    assert ["echo"] * 3 == connected(hosts)
    assert 0 == entries(web)
    again = planned(web, *ROLES["web"])
    assert ((), (), ()) == (again.trial, again.confirm, again.rollback_trial)
    assert again.status() is ObligationStatus.PROVED
    other = planned(web, WEB, WEB_POLICY.replace(b"192.168.0.17", b"192.168.0.16"))
    assert 1 == len(other.replaces)
    load(web, plan.rollback_confirmed, deadline(60))
    assert before == listed(web)
