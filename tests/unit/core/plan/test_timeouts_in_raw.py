"""Time-outs of services where iptables gives them: its rules and policies, and what is proved of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.core.model.address import Family
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import POLICY_NAME, ObligationStatus, Plan
from conntrim.core.model.ruleset import In
from conntrim.core.plan.changes import policy_name
from conntrim.core.plan.compile import Request, compile_plan, compiled
from conntrim.core.plan.obligations import exact_entries
from conntrim.lab.gateway import XT
from tests.unit.core.plan.planning import obligation, rules, wrong_entries
from tests.unit.core.plan.test_limits import request
from tests.unit.core.plan.test_timeouts import DNS

BROKEN, OPEN, PROVED = ObligationStatus.BROKEN, ObligationStatus.NOT_DECIDED, ObligationStatus.PROVED
RAW = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{}\nCOMMIT\n"
WAYS = {
    "inbound": '[[timeout]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [22]\nseconds = { established = 7440 }\n',
    "outbound": '[[timeout]]\ndirection = "outbound"\nprotocol = "udp"\nports = [53]\nseconds = { replied = 30 }\n',
    "forwarded": DNS,
}


def asked(policy: str, text: str = XT) -> Request:
    """The lab's gateway, without nft."""
    found = request(policy, rules(text))
    return replace(found, facts=replace(found.facts, nft=False))


def made(policy: str, text: str = XT) -> Plan:
    """Its plan."""
    return compile_plan(asked(policy, text))


@pytest.mark.parametrize("way", WAYS)
def test_all_is_proved_as_with_nft(way: str) -> None:
    """Every obligation but the kernel's own word. What is fed is iptables, after the policies that it names."""
    plan = made(WAYS[way])
    assert ["loads"] == [o.name for o in plan.obligations if o.standing is not PROVED]
    assert [batch.program.partition("-")[0] for batch in plan.trial] == ["nfct", "iptables", "nfct", "ip6tables"][
        : len(plan.trial)
    ]
    assert [batch.text.split()[0] for batch in plan.rollback_trial][-1] == "nfct"
    assert "nfct" not in {batch.program for batch in plan.confirm}


DNAT = "-A PREROUTING -p udp -m udp --dport 53 -j DNAT --to-destination 10.9.0.2\n-A POSTROUTING"
NOT_DECIDED = {
    "a port that is published": (XT.replace("-A POSTROUTING", DNAT, 1), "rules translate destinations"),
    "zones": (RAW.format("-A PREROUTING -i lan -j CT --zone 7") + XT, "gives packets a template"),
    "helpers": (
        RAW.format("-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp") + XT,
        "gives packets a template",
    ),
}


@pytest.mark.parametrize("name", NOT_DECIDED)
def test_what_raw_does_not_know_is_not_decided(name: str) -> None:
    """It comes before translation, and a packet has one template (K10)."""
    text, why = NOT_DECIDED[name]
    told = obligation(made(DNS, text), "exact-entries")
    assert (told.standing, why in told.why) == (OPEN, True), told.why


def test_a_notrack_rule_of_the_operator_would_no_longer_act() -> None:
    """Whoever comes first to a packet in raw decides (K10): the template would keep it tracked."""
    plan = made(DNS, RAW.format("-A PREROUTING -p udp -m udp --dport 53 -j CT --notrack") + XT)
    told = obligation(plan, "verdicts-kept")
    assert (told.standing, "leaves other packets untracked" in told.why) == (BROKEN, True)


PORT = In(Field.DPORT, Intervals.of(53))
WRONG = {
    "too wide": (PORT, None, "meet the rule and are not the service's"),
    "elsewhere": (PORT, In(Field.DPORT, Intervals.of(54)), "do not meet the rule"),
    "this host's too": (In(Field.DST_TYPE, Intervals.of(1)), None, "meet the rule and are not the service's"),
}


@pytest.mark.parametrize(("old", "new", "why"), WRONG.values(), ids=list(WRONG))
def test_rules_that_meet_others_are_broken(old: In, new: In | None, why: str) -> None:
    """A wider match, another port, no word of where the packet goes."""
    done = compiled(asked(DNS))
    assert [] == list(exact_entries.by_plan(done))
    standings, said = wrong_entries(done, "CONNTRIM-TIMEOUT-IN", old, new)
    assert {BROKEN} == standings
    assert any(why in each for each in said)


def test_other_seconds_are_another_plan() -> None:
    """The rules of two time-outs are alike, their marks are not."""
    one, other = made(DNS), made(DNS.replace("15", "16"))
    assert one.changes[-1].rule != other.changes[-1].rule


def test_names_have_four_characters_and_are_told_apart() -> None:
    """K150: as many as a policy may have services, of two families and two sets."""
    names = [policy_name(n, family, slot) for n in range(1, 1001) for family in Family for slot in (1, 2)]
    assert (len(set(names)), all(map(POLICY_NAME.fullmatch, names))) == (4000, True)
