"""Plans for iptables on a real kernel: accepted, effective, tight, and inert after their deadline."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.core.model.ruleset import TableFamily
from conntrim.core.parse.policy import parse_policy
from conntrim.core.parse.ruleset import read
from conntrim.core.plan.compile import Request, compile_plan
from conntrim.lab.netns import LabHost, bridged
from tests.lab.planning import (
    CACHE,
    CACHE_POLICY,
    RH_FIREWALL,
    RH_FIREWALL_V6,
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


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """Web and cache host with the document's firewall, a client, and closed ports behind it that would answer."""
    with bridged(["web=18", "cache=17", "client=66"]) as made:
        for name in ("web", "cache"):
            made[name].run("iptables-nft-restore", text=RH_FIREWALL)
            made[name].run("ip6tables-nft-restore", text=RH_FIREWALL_V6)
        serve(made["web"], 80)
        serve(made["web"], 3306)
        serve(made["cache"], 11211)
        serve(made["cache"], 3306)
        yield made


def planned(host: LabHost, address: str, policy: bytes) -> Plan:
    """The plan for a lab host as its kernel lists its rules now."""
    ruleset = read(host.run("iptables-nft-save"), "rules.v4", TableFamily.IP)
    v6 = read(host.run("ip6tables-nft-save"), "rules.v6", TableFamily.IP6)
    return compile_plan(
        Request(parse_policy(policy, "policy.toml"), ruleset + v6, facts(address, listening=(80, 11211)))
    )


def saved(host: LabHost) -> str:
    """The host's rules without counters, comments and tables that hold no rule."""
    text = re.sub(r"\[\d+:\d+\]", "", host.run("iptables-nft-save") + host.run("ip6tables-nft-save"))
    return "".join(part for part in re.findall(r"^\*.*?^COMMIT\n", text, re.S | re.M) if "\n-A " in part)


ROLES = {"web": (WEB, WEB_POLICY), "cache": (CACHE, CACHE_POLICY)}


def connected(hosts: Hosts) -> list[str]:
    """A request to the web host, one from it to the cache, and the web host's to itself."""
    return [ask(hosts["client"], WEB, 80), ask(hosts["web"], CACHE, 11211), ask(hosts["web"], WEB, 80)]


def test_trial_leaves_no_entries_and_lets_nobody_in(hosts: Hosts) -> None:
    """With both trials loaded every service answers without one entry; strangers from port 11211 or 80 get nowhere."""
    assert ["echo"] * 3 == connected(hosts)
    assert entries(hosts["web"]) > 0
    for name, (address, policy) in ROLES.items():
        plan = planned(hosts[name], address, policy)
        assert {o.name for o in plan.obligations if o.standing is not ObligationStatus.PROVED} == {"loads"}
        load(hosts[name], plan.trial[:1], deadline(60), check=True)
        load(hosts[name], plan.trial, deadline(60))
        hosts[name].run("conntrack", "-F")
    assert ["echo"] * 3 == connected(hosts)
    assert {"web": 0, "cache": 0} == {name: entries(hosts[name]) for name in ROLES}
    strangers = [ask(hosts["client"], address, 3306, port) for address in (WEB, CACHE) for port in (11211, 80, 0)]
    assert ["113"] * 6 == strangers
    assert "echo" == ask(hosts["client"], CACHE, 11211)


def test_trial_is_inert_after_its_deadline(hosts: Hosts) -> None:
    """Nobody takes the rules out, yet connections are tracked again once the second has passed."""
    web = hosts["web"]
    plan = planned(web, *ROLES["web"])
    load(web, plan.trial, deadline(2))
    while not entries(web):
        assert "echo" == ask(hosts["client"], WEB, 80)
    assert "echo" == ask(hosts["client"], WEB, 80)
    assert "113" == ask(hosts["client"], WEB, 3306, 11211)


def test_confirm_keeps_and_rollback_restores(hosts: Hosts) -> None:
    """Confirmed rules work without a guard; both ways back end in exactly the rules of before."""
    web = hosts["web"]
    before = saved(web)
    plan = planned(web, *ROLES["web"])
    until = deadline(60)
    load(web, plan.trial, until)
    load(web, plan.rollback_trial, until)
    assert before == saved(web)
    load(web, plan.trial, until)
    load(web, plan.confirm, until)
    assert "datestop" not in saved(web)
    web.run("conntrack", "-F")
    assert ["echo"] * 3 == connected(hosts)
    assert 0 == entries(web)
    again = planned(web, *ROLES["web"])
    assert ((), (), ()) == (again.trial, again.confirm, again.rollback_trial)
    assert again.rollback_confirmed == plan.rollback_confirmed
    load(web, plan.rollback_confirmed, until)
    assert before == saved(web)
