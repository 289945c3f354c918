"""Time-outs of services as rules and objects, and what is proved of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.core.model.ruleset import End, In, Rule, Verdict
from conntrim.core.plan.compile import compile_plan, compiled
from conntrim.core.plan.obligations import exact_entries, verdicts_kept
from tests.unit.core.plan.planning import obligation, with_rules, wrong_entries
from tests.unit.core.plan.test_limits import RULES, request

DNS = (
    '[[timeout]]\ndirection = "forwarded"\nprotocol = "udp"\nports = [53]\nseconds = { unreplied = 15, replied = 30 }\n'
)
POOL = '[[timeout]]\ndirection = "forwarded"\nprotocol = "tcp"\nports = [5432]\nseconds = { established = 600 }\n'
BROKEN, PROVED = ObligationStatus.BROKEN, ObligationStatus.PROVED


def made(policy: str, dialect: str = "iptables") -> Plan:
    """The plan for the lab's gateway."""
    return compile_plan(request(policy, RULES[dialect]))


@pytest.mark.parametrize("dialect", RULES)
def test_a_resolver_behind_a_gateway_is_proved(dialect: str) -> None:
    """What is asked of time-outs and nothing else; DNS is below the floor's ports, so 30 s are enough."""
    plan = made(DNS, dialect)
    asked = ["verdicts-kept", "exact-entries", "rfc-floor", "guard-expired", "falls-back", "loads"]
    assert asked == [o.name for o in plan.obligations]
    assert ["loads"] == [o.name for o in plan.obligations if o.standing is not PROVED]
    assert {batch.program for batch in plan.trial} == {"nft"}


def test_a_pool_behind_nat_has_a_floor_and_none_without() -> None:
    """K93: the masquerading gateway must leave 7,440 s, unless the policy accepts less; one without NAT may do less."""
    floor = obligation(made(POOL), "rfc-floor")
    assert (floor.standing, "600 s for established where 7,440 are the least" in floor.why) == (BROKEN, True)
    assert obligation(made(POOL + "accept_below_rfc = true\n"), "rfc-floor").standing is PROVED
    assert obligation(made(POOL, "nft"), "rfc-floor").standing is PROVED
    assert obligation(made(POOL.replace("600", "7440")), "rfc-floor").standing is PROVED


def test_the_host_that_has_less_already_is_its_own_floor() -> None:
    """A gateway that gives 3,600 s may give a service 3,600, not 3,599."""
    asked = request(POOL.replace("600", "3600"), RULES["iptables"])
    asked = replace(asked, facts=replace(asked.facts, timeouts={"nf_conntrack_tcp_timeout_established": 3_600}))
    assert obligation(compile_plan(asked), "rfc-floor").standing is PROVED
    less = request(POOL.replace("600", "3599"), RULES["iptables"])
    assert obligation(compile_plan(replace(less, facts=asked.facts)), "rfc-floor").standing is BROKEN


def test_an_object_names_every_state() -> None:
    """K167: with the host's time-outs for those that the policy leaves alone."""
    asked = request(POOL, RULES["nft"])
    asked = replace(asked, facts=replace(asked.facts, timeouts={"nf_conntrack_tcp_timeout_time_wait": 30}))
    table = next(t for t in compiled(asked).after.tables if t.name == "conntrim")
    policy = json.loads(table.objects[0])["ct timeout"]["policy"]
    assert (len(policy), policy["established"], policy["time_wait"], policy["syn_sent"]) == (11, 600, 30, 120)


def test_other_seconds_are_another_plan() -> None:
    """The rules of two time-outs are alike, their marks are not: the second is not taken for loaded."""
    one, other = made(DNS), made(DNS.replace("15", "16"))
    assert one.trial != other.trial
    assert one.changes[-1].rule != other.changes[-1].rule


PORT, NEW = In(Field.DPORT, Intervals.of(53)), In(Field.CT_STATE, Intervals.of(int(CtState.NEW)))
WRONG = {
    "too wide": (PORT, None, "meet the rule and are not the service's"),
    "elsewhere": (PORT, In(Field.DPORT, Intervals.of(54)), "meet the rule and are not the service's"),
    "too narrow": (NEW, In(Field.CT_STATE, Intervals.of(int(CtState.RELATED))), "do not meet the rule"),
}


@pytest.mark.parametrize(("old", "new", "why"), WRONG.values(), ids=list(WRONG))
def test_rules_that_meet_others_are_broken(old: In, new: In | None, why: str) -> None:
    """A wider match, another port, another state: the walk finds who meets the rule and should not, or does not."""
    done = compiled(request(DNS, RULES["nft"]))
    assert [] == list(exact_entries.by_plan(done))
    standings, said = wrong_entries(done, "timeout_forward", old, new)
    assert {BROKEN} == standings
    assert any(why in each for each in said)


def test_a_rule_that_ends_packets_is_no_time_out() -> None:
    """verdicts-kept sees what a rule does beside."""
    done = compiled(request(DNS, RULES["nft"]))

    def dropping(rule: Rule) -> Rule:
        return replace(rule, statements=(*rule.statements, End(Verdict.DROP)))

    (status, why, _), *_ = verdicts_kept.by_plan(
        replace(done, after=with_rules(done.after, "timeout_forward", dropping))
    )
    assert (status, "the plan refuses packets that were let through" in why) == (BROKEN, True)
