"""The checks of rule sets in nft's dialect: the same mistakes, and those that only nft lets one make."""

import json
from typing import Any

import pytest

from conntrim.core.diagnose.rulesets.registry import Checked, check_ruleset
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.parse.ruleset import read

Expr = list[Any]
ACCEPT: Expr = [{"accept": None}]
DROP: Expr = [{"drop": None}]
RESET: Expr = [{"reject": {"type": "tcp reset"}}]
NOTRACK: Expr = [{"notrack": None}]


def port(side: str, number: int, protocol: str = "tcp") -> Expr:
    """`tcp dport 80`."""
    return [{"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": side}}, "right": number}}]


def state(*names: str) -> Expr:
    """`ct state established,related`."""
    right: Any = list(names) if len(names) > 1 else names[0]
    return [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": right}}]


def met(key: str, value: str) -> Expr:
    """`iifname "lo"`."""
    return [{"match": {"op": "==", "left": {"meta": {"key": key}}, "right": value}}]


def ct(key: str, value: int) -> Expr:
    """`ct mark 5`."""
    return [{"match": {"op": "==", "left": {"ct": {"key": key}}, "right": value}}]


def source(address: str, length: int) -> Expr:
    """`ip saddr 203.0.113.0/24`."""
    right = {"prefix": {"addr": address, "len": length}}
    return [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": right}}]


def errors() -> Expr:
    """`icmp type { 3, 11, 12 }`."""
    types = {"set": ["destination-unreachable", "time-exceeded", "parameter-problem"]}
    return [{"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "type"}}, "right": types}}]


IN, OUT = port("dport", 80) + NOTRACK, port("sport", 80) + NOTRACK
ALL = state("established", "related", "untracked") + ACCEPT
NEW = port("dport", 80) + state("new", "untracked") + ACCEPT
TIGHT = [errors() + ACCEPT, NEW, state("established", "related") + ACCEPT]

Chains = dict[tuple[str, int, str], list[Expr]]


def checked(chains: Chains) -> Checked:
    """The findings of one table with chains by hook, priority and policy; handles count from 1 in each chain."""
    return check_ruleset(read(listing(chains), "rules"), None)


def listing(chains: Chains) -> str:
    """Such a table as nft lists it, and takes it."""
    listed: list[Any] = [{"table": {"family": "ip", "name": "t", "handle": 1}}]
    for number, ((hook, priority, policy), rules) in enumerate(chains.items()):
        name = {"family": "ip", "table": "t"}
        kind = "nat" if priority in (-100, 100) else "filter"
        hung = {"type": kind, "hook": hook, "prio": priority, "policy": policy}
        listed.append({"chain": name | {"name": f"c{number}", "handle": 9} | hung})
        own = [met("iifname", "lo") + ACCEPT] if hook == "input" and priority == 0 else []
        for handle, expr in enumerate([*rules, *own], 1):
            listed.append({"rule": name | {"chain": f"c{number}", "handle": handle, "expr": expr}})
    return json.dumps({"nftables": listed})


def where(finding: Finding) -> tuple[str, str]:
    """Code, chain and handle."""
    return finding.code, finding.place.within.removeprefix("ip t ") if finding.place else ""


PRE, POST, FILTER = ("prerouting", -300, "accept"), ("output", -300, "accept"), ("input", 0, "drop")
CASES: dict[str, tuple[Chains, list[tuple[str, str]]]] = {
    "tight": ({PRE: [IN], POST: [OUT], FILTER: TIGHT}, []),
    "one way": ({PRE: [IN], POST: [], FILTER: TIGHT}, [("CT103", "c0 handle 1")]),
    "hole": (
        {PRE: [IN, port("sport", 11211) + NOTRACK], POST: [OUT, port("dport", 11211) + NOTRACK],
         FILTER: [errors() + ACCEPT, ALL, NEW]}, [("CT101", "c0 handle 2")],
    ),
    "open range": (
        {PRE: [port("dport", 8000) + NOTRACK], POST: [port("sport", 8000) + NOTRACK], FILTER: [errors() + ACCEPT, ALL]},
        [("CT102", "c0 handle 1")],
    ),
    "refused": (
        {PRE: [IN], POST: [OUT], FILTER: [errors() + ACCEPT, port("dport", 80) + state("new") + ACCEPT, TIGHT[2]]},
        [("CT105", "c0 handle 1")],
    ),
    "behind conntrack": (
        {("prerouting", -150, "accept"): [IN], POST: [OUT], FILTER: TIGHT},
        [("CT104", "c0 handle 1"), ("CT103", "c1 handle 1")],
    ),
    "wrong hook": ({("input", -10, "accept"): [IN], FILTER: TIGHT}, [("CT104", "c0 handle 1")]),
    "before reassembly": (
        {("prerouting", -450, "accept"): [IN], POST: [OUT], FILTER: TIGHT}, [("CT112", "c0 handle 1")],
    ),
    "reassembled in output": (
        {PRE: [IN], ("output", -450, "accept"): [OUT], FILTER: TIGHT}, [],
    ),
    "errors refused": ({PRE: [IN], POST: [OUT], FILTER: TIGHT[1:]}, [("CT106", "")]),
    "answers refused": (
        {PRE: [], POST: [port("dport", 11211) + NOTRACK], FILTER: TIGHT},
        [("CT103", "c1 handle 1"), ("CT107", "c1 handle 1")],
    ),
    "shadowed": ({PRE: [port("dport", 80) + ACCEPT, IN], POST: [OUT], FILTER: TIGHT},
                 [("CT104", "c0 handle 2"), ("CT103", "c1 handle 1"), ("CT107", "c1 handle 1")]),
    "twice": ({PRE: [IN, IN], POST: [OUT], FILTER: TIGHT}, [("CT104", "c0 handle 2")]),
    "on lo": ({PRE: [met("iifname", "lo") + port("dport", 8080) + NOTRACK, IN], POST: [OUT], FILTER: TIGHT},
              [("CT104", "c0 handle 1")]),
    "translated": (
        {PRE: [IN], POST: [OUT], FILTER: TIGHT,
         ("prerouting", -100, "accept"): [[*port("dport", 80), {"redirect": {"port": 8080}}]]},
        [("CT109", "c0 handle 1")],
    ),
    "marked": (
        {PRE: [IN], POST: [OUT], FILTER: [port("dport", 80) + ct("mark", 5) + DROP, *TIGHT]},
        [("CT111", "c2 handle 1")],
    ),
    "accept never met": (
        {PRE: [IN], POST: [OUT], FILTER: [*TIGHT, port("dport", 8080) + state("untracked") + ACCEPT]},
        [("CT113", "c2 handle 4")],
    ),
    "resets that do not leave": (
        {PRE: [IN], POST: [OUT], FILTER: [port("dport", 80) + source("203.0.113.0", 24) + RESET, *TIGHT],
         ("output", 0, "accept"): [errors() + ACCEPT, state("invalid") + DROP]},
        [("CT116", "c1 handle 1"), ("CT115", "c2 handle 1")],
    ),
    "cut on lo": (
        {PRE: [IN], POST: [OUT], FILTER: [*TIGHT, met("iifname", "lo") + state("untracked") + DROP]},
        [("CT116", "c1 handle 1")],
    ),
    "wide source port": ({FILTER: [*TIGHT, port("sport", 53, "udp") + ACCEPT]}, [("CT114", "c0 handle 4")]),
}  # fmt: skip
"""Chains, and the findings by code, chain and handle."""


@pytest.mark.parametrize("name", CASES)
def test_each_check_finds_its_own_and_nothing_else(name: str) -> None:
    """Code and place of every finding, in a rule set with one mistake."""
    chains, expected = CASES[name]
    assert sorted(expected) == sorted(map(where, checked(chains).findings))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("behind conntrack", "behind conntrack (priority -150, conntrack -200)"),
        ("wrong hook", "at the input hook, behind conntrack"),
    ],
)
def test_a_rule_without_effect_is_told_why(name: str, words: str) -> None:
    """The hook and the priority, where they are the reason."""
    titles = [f.title for f in checked(CASES[name][0]).findings if f.code == "CT104"]
    assert [True] == [words in title for title in titles]


def test_a_rule_of_which_one_alternative_takes_packets_has_effect() -> None:
    """`th dport 80` before the protocols is read as two rules, with ports and without; the second takes nothing."""
    protocols: Expr = [{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": {"set": ["tcp", "udp"]}}}]
    found = checked({PRE: [port("dport", 80, "th") + protocols + NOTRACK], FILTER: TIGHT}).findings
    assert "CT104" not in [f.code for f in found]


def test_a_twin_without_effect_is_the_cause() -> None:
    """The rule in OUTPUT is one-sided because its twin stands behind conntrack."""
    found = checked(CASES["behind conntrack"][0]).findings
    assert ["", "CT104 rules ip t c0 handle 1"] == [f.caused_by for f in found]


EDITS = [
    ("one way", ["tcp sport 80 notrack"]),
    ("hole", [
        "tcp dport 80 ct state untracked accept",
        "ip saddr SERVER tcp sport 11211 tcp flags & (fin | syn | rst | ack) != syn notrack",
        "ip daddr SERVER tcp dport 11211 notrack",
        "ip saddr SERVER tcp sport 11211 tcp flags & (fin | syn | rst | ack) != syn ct state untracked accept",
        "ct state established,related accept",
    ]),
    ("refused", ["tcp dport 80 ct state untracked accept"]),
    ("wide source port", ["udp sport 53 ct state established accept"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "texts"), EDITS)
def test_the_advice_is_in_nfts_words(name: str, texts: list[str]) -> None:
    """Every edit's rule, as nft reads it."""
    assert texts == [e.text for f in checked(CASES[name][0]).findings for e in f.edits]


@pytest.mark.parametrize(("serves", "told"), [("ip", True), ("ip6", False), ("inet", True)])
def test_a_helper_is_missed_by_the_family_that_its_object_has_one_for(serves: str, told: bool) -> None:
    """An object of `l3proto ip6` gives IPv4 connections no helper, so nothing is lost to them."""
    given = [*port("dport", 80), {"ct helper": "h"}, *ACCEPT]
    listed = json.loads(listing({PRE: [IN], POST: [OUT], FILTER: [given, *TIGHT]}))
    helper = {"family": "ip", "table": "t", "name": "h", "handle": 8, "type": "ftp", "protocol": "tcp"}
    listed["nftables"].insert(1, {"ct helper": helper | {"l3proto": serves}})
    found = check_ruleset(read(json.dumps(listed), "rules"), None).findings
    assert told == ("CT110" in [f.code for f in found])


def test_the_edit_behind_reassembly_may_let_fragments_through() -> None:
    """Datagrams of which one part alone was untracked were lost (K48): that they arrive is what the edit is for."""
    (found,) = checked(CASES["before reassembly"][0]).findings
    assert ("CT112", True) == (found.code, bool(found.edits))


@pytest.mark.parametrize("chain", [
    {("prerouting", -190, "accept"): [ct("zone", 0) + DROP]},
    {("input", 0, "accept"): [[{"ct expectation": "another"}, *DROP]]},
])  # fmt: skip
def test_a_first_packet_is_in_zone_0_and_its_entry_is_new(chain: Chains) -> None:
    """What refuses it while it is tracked does so for certain (K136): untracked it gets in, and that is critical."""
    found = checked({("prerouting", -300, "accept"): [met("iifname", "eth1") + NOTRACK], **chain})
    assert Severity.CRITICAL in {f.severity for f in found.findings if f.code in ("CT101", "CT102")}


def test_a_port_that_a_rule_writes_is_no_translation() -> None:
    """Untracked packets are no longer given another source, although their ports change."""
    aimed = [{"mangle": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "value": 80}}, *NOTRACK]
    source = [{"snat": {"addr": "192.0.2.201"}}]
    closed = {("output", 0, "drop"): [port("sport", 22) + ACCEPT]}
    found = checked({("prerouting", -300, "accept"): [aimed], ("input", 100, "accept"): [source], **closed})
    assert "CT109" in [f.code for f in found.findings]
