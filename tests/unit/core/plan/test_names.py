"""Names in a rule set are the operator's, or anybody's who may load rules: none of them becomes a command of a plan."""

import json

import pytest

from conntrim.app.plan import Inputs, elsewhere, make_plan
from conntrim.core.emit.plan_rule import nft_rule, xt_rule
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.model.address import parse_prefix
from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import Era
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import OpaqueMatch, Rule
from conntrim.core.parse.policy import parse_policy
from conntrim.core.parse.ruleset import read
from tests.unit.cli.hostile import POLICY

NAMES = ["c; flush ruleset; add table ip x", "c\nflush ruleset", 'c" d', "c # d", "-f", "c d"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", ["table", "chain"])
def test_no_name_of_a_chain_or_table_becomes_a_command(name: str, what: str) -> None:
    """Where an accept has to go into such a chain there is no plan: nft would read the name as more than a name."""
    table, chain = (name, "input") if what == "table" else ("filter", name)
    where = {"family": "ip", "table": table}
    port = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}
    new = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "new"]}}
    base = {"type": "filter", "hook": "input", "prio": 0, "policy": "drop"}
    listing = [
        {"table": {"family": "ip", "name": table}},
        {"chain": where | {"name": chain} | base},
        {"rule": where | {"chain": chain, "handle": 3, "expr": [new, port, {"accept": None}]}},
    ]
    rules = read(json.dumps({"nftables": listing}), "rules.json")
    facts = elsewhere("rules.json", Era.NF, Intervals.of(parse_prefix("192.0.2.2")))
    with pytest.raises(InputError, match="no plain name"):
        make_plan(Inputs(rules, "", facts, policy=parse_policy(POLICY.encode(), "policy")))


@pytest.mark.parametrize("text", ["ip saddr @x; flush ruleset", "iifname @x # y", "ip saddr @x\nflush ruleset", 'a "b'])
def test_no_condition_that_is_copied_becomes_a_command(text: str) -> None:
    """What a plan copies without knowing it is one condition, or it is not copied."""
    rule = Rule((OpaqueMatch("x", text),), (), Place("rules"), "")
    with pytest.raises(NotExpressible):
        nft_rule(rule)
    assert nft_rule(Rule((OpaqueMatch("x", 'iifname "a;b#"'),), (), Place("rules"), "")).startswith('iifname "a;b#"')


def test_no_condition_of_iptables_becomes_a_line() -> None:
    """iptables-restore reads line by line."""
    with pytest.raises(NotExpressible):
        xt_rule(Rule((OpaqueMatch("set", "--match-set x\n-A INPUT -j ACCEPT src"),), (), Place("rules"), ""), v6=False)
