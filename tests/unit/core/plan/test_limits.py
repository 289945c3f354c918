"""Limits as rules of each dialect, and what is proved of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.core.model.ruleset import Chain, In, Rule, Ruleset, XtConntrack
from conntrim.core.parse.policy import parse_policy
from conntrim.core.parse.ruleset import read
from conntrim.core.plan.compile import Request, compile_plan, compiled
from conntrim.core.plan.obligations import only_over_limit
from conntrim.lab.gateway import XT
from tests.unit.core.plan.planning import WEB, facts, obligation, rules

OPEN = '[[limit]]\ndirection = "forwarded"\nconnections = 20\n'
DNS = (
    '[[limit]]\ndirection = "forwarded"\nprotocol = "udp"\nports = [53]\nper = "24"\nper_second = 50\naction = "drop"\n'
)
SSH = '[[limit]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [22]\nconnections = 5\n'
HOOKS = ("input", "forward")
HOME = {"family": "inet", "table": "fw"}
STATE = {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}
KNOWN = [{"match": STATE}, {"accept": None}]
PARTS = [
    {"table": {"family": "inet", "name": "fw"}},
    *({"chain": HOME | {"name": h, "type": "filter", "hook": h, "prio": 0, "policy": "accept"}} for h in HOOKS),
    *({"rule": HOME | {"chain": h, "expr": KNOWN}} for h in HOOKS),
]
NFT = json.dumps({"nftables": PARTS})
"""A filter of nft's that tracks both families."""


def request(policy: str, ruleset: Ruleset) -> Request:
    """The gateway of the lab, with a policy."""
    return Request(parse_policy(policy.encode(), "policy"), ruleset, facts("192.0.2.1", "10.9.0.1"))


RULES = {"iptables": rules(XT), "nft": read(NFT, "nft")}


def made(policy: str, dialect: str = "iptables") -> Plan:
    """The plan for it."""
    return compile_plan(request(policy, RULES[dialect]))


def test_a_service_is_counted_once_however_its_packets_are_told() -> None:
    """Twenty ports are two rules of multiport, and both send to the chain with the one rule that counts."""
    ports = ", ".join(str(port) for port in range(1000, 1040, 2))
    found = [c.rule for c in made(OPEN + f'protocol = "tcp"\nports = [{ports}]\n').changes]
    assert ["connlimit" in rule for rule in found].count(True) == 1
    assert [rule.endswith("-j CONNTRIM-LIMIT-1") for rule in found].count(True) == 2


@pytest.mark.parametrize("dialect", RULES)
def test_everything_is_proved_on_gateways_of_both_dialects(dialect: str) -> None:
    """All that is asked of limits, but for whether the texts load; and nothing that is asked of untracked services."""
    plan = made(OPEN + DNS + SSH, dialect)
    assert ["only-over-limit", "guard-expired", "falls-back", "loads"] == [o.name for o in plan.obligations]
    assert ["loads"] == [o.name for o in plan.obligations if o.standing is not ObligationStatus.PROVED]


def test_both_kinds_of_cures_make_one_change() -> None:
    """A service that goes untracked and a limit share one nft table, one guard and one mark; each is asked its own."""
    plan = made(WEB + OPEN, "nft")
    assert ["loads"] == [o.name for o in plan.obligations if o.standing is not ObligationStatus.PROVED]
    assert {"two-sided", "only-over-limit"} < {o.name for o in plan.obligations}
    own = [batch.text for batch in plan.trial if "add table inet conntrim" in batch.text]
    assert len(own) == 1
    assert ("untrack_prerouting" in own[0], "limit_forward" in own[0]) == (True, True)
    assert len({c.rule.partition("conntrim:")[2][:8] for c in plan.changes}) == 1


@pytest.mark.parametrize("dialect", RULES)
def test_a_limit_that_met_open_connections_is_no_proof(dialect: str) -> None:
    """Without NEW in front of what counts, packets of connections that are open may be refused: the proof sees it."""
    done = compiled(request(OPEN, RULES[dialect]))
    assert [] == list(only_over_limit.by_plan(done))
    (status, why, _), *_ = only_over_limit.by_plan(replace(done, limited=_without_state(done.after)))
    assert status is ObligationStatus.NOT_DECIDED
    assert "the plan refuses packets that were let through" in why


def _without_state(ruleset: Ruleset) -> Ruleset:
    new = Intervals.of(int(CtState.NEW))
    states = In(Field.CT_STATE, new), XtConntrack(new)

    def rule(each: Rule) -> Rule:
        return replace(each, matches=tuple(m for m in each.matches if m not in states))

    def chain(each: Chain) -> Chain:
        return replace(each, rules=tuple(map(rule, each.rules))) if "limit" in each.name.lower() else each

    return replace(ruleset, tables=tuple(replace(t, chains=tuple(map(chain, t.chains))) for t in ruleset.tables))


def test_a_family_that_is_not_tracked_is_left_alone() -> None:
    """K5: the gateway's IPv6 has no rules, so nobody is limited there, which a remark says; a limit of IPv6 alone would
    switch conntrack on, and is broken."""
    plan = made(OPEN)
    assert all(c.chain.startswith("ip filter ") for c in plan.changes)
    assert any("nothing tracks IPv6 here" in remark for remark in plan.remarks)
    broken = obligation(made(OPEN + 'family = "ipv6"\n'), "only-over-limit")
    assert (broken.standing, "nothing tracks connections" in broken.why) == (ObligationStatus.BROKEN, True)


def test_what_may_be_refused_is_told() -> None:
    """By class, client, amount and how; and that open ones are counted from the load on."""
    said = made(DNS + SSH).refused
    assert said[0].startswith("new connections of forwarded udp/53, of a /24 beyond 50 new ones a second, are dropped;")
    assert "beyond 5 open connections, are rejected; open ones are counted from the load on" in said[1]


def test_a_plan_that_replaces_another_counts_apart() -> None:
    """hashlimit's tables are shared by name: beside an earlier plan's rules the next one's have names of their own."""
    earlier = compiled(request(DNS, RULES["iptables"])).after
    done = compiled(request(DNS.replace("50", "60"), earlier))
    (counting,) = [c.rule for c in done.changes if "hashlimit" in c.rule]
    assert ("--hashlimit-above 60/sec" in counting, "--hashlimit-name conntrim2-1 " in counting) == (True, True)
