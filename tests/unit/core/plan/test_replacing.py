"""A plan made beside a confirmed one: both together, each alone, as values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.core.change.apply import apply
from conntrim.core.change.invert import invert
from conntrim.core.model.plan import ObligationStatus, slot_of_chain, slot_of_table
from conntrim.core.model.ruleset import Dialect
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.compile import Request, compile_plan, compiled
from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.own import marks, slots, without_own, without_trial
from conntrim.core.plan.replacing import beside, held
from conntrim.core.rollout.claim import marks_of, slot_of
from tests.unit.core.plan.planning import CACHE, INBOUND, WEB, facts, filtered, rules

HOST = facts("192.168.0.18")
TEXT = filtered(
    "-i lo -j ACCEPT", "-m conntrack --ctstate INVALID -j DROP", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-s 192.0.2.9/32 -j DROP", "-p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT",
    "-p tcp -m tcp --dport 8080 -m conntrack --ctstate NEW -j ACCEPT",
)  # fmt: skip
BASE = rules(TEXT)
DIALECTS = [Dialect.IPTABLES_NFT, Dialect.NFTABLES]


def request(policy: str, done: Compiled | None = None, dialect: Dialect = Dialect.IPTABLES_NFT) -> Request:
    """A policy for the host as it is with that plan confirmed; without any where none is named."""
    return Request(parse_policy(policy.encode(), "policy"), done.after if done else BASE, HOST, dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("policy", [WEB + CACHE, CACHE, INBOUND.format("tcp", 8080)])
def test_each_of_the_two_can_go_and_leaves_the_other_as_it_was_proved(policy: str, dialect: Dialect) -> None:
    """Trial undone: the first alone. The first taken out: what was proved. Put back and the second out: the first."""
    first = compiled(request(WEB, None, dialect))
    second = compiled(request(policy, first, dialect))
    assert second.replacing is not None
    changes = second.replacing.changes
    assert changes.before == first.after
    assert first.after == apply(invert(changes.trial), changes.on_trial)
    assert first.after == apply(invert(changes.plain), changes.after)
    assert second.after == apply(invert(first.operations.plain), changes.after)
    again = apply(beside(held(first.after), without_own(first.after), second.after), second.after)
    assert first.after == apply(invert(second.operations.plain), again)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_two_share_no_name(dialect: Dialect) -> None:
    """Own chains and tables have other names, the third's are the first's again; a listing tells who wrote what."""
    first = compiled(request(WEB, None, dialect))
    second = compiled(request(WEB + CACHE, first, dialect))
    third = compiled(request(CACHE, second, dialect))
    assert [{1}, {2}, {1}] == [set(slots(done.after)) for done in (first, second, third)]
    plan = compile_plan(request(WEB + CACHE, first, dialect))
    assert (plan.replaces, slot_of(plan)) == (marks(first.after), 2)
    assert marks_of(plan) == marks(second.after)
    assert not set(marks(first.after)) & set(marks(second.after))


def test_a_trial_beside_another_plan_is_told_from_it() -> None:
    """Armed or expired: without it the rules are the first plan's, and the second is compiled to the same again."""
    first = compiled(request(WEB))
    second = compiled(request(WEB + CACHE, first))
    assert second.replacing is not None
    on_trial = second.replacing.changes.on_trial
    assert without_trial(on_trial) == first.after
    asked = request(WEB + CACHE, first)
    again = compile_plan(replace(asked, ruleset=on_trial))
    assert compile_plan(asked) == replace(again, remarks=())


def test_what_both_do_together_is_proved() -> None:
    """A replacement is proved like any plan; its costs are those from the first plan's rules: for what it adds only."""
    first = compiled(request(WEB))
    plan = compile_plan(request(WEB + CACHE, first))
    assert {} == {
        o.name: o.why for o in plan.obligations if o.standing is not ObligationStatus.PROVED and o.name != "loads"
    }
    assert plan.costs
    assert all(cost.startswith("outbound tcp/11211") for cost in plan.costs)


def test_the_same_policy_has_nothing_to_replace() -> None:
    """Whatever names the rules bear that are there."""
    first = compiled(request(WEB))
    second = compiled(request(WEB + CACHE, first))
    assert () == compile_plan(request(WEB + CACHE, second)).trial


def test_half_of_the_same_plan_is_not_replaced() -> None:
    """Rules of this very plan, and not all of them: their comments tell nobody which are which."""
    first = compiled(request(WEB))
    (filter_, *others) = first.after.tables
    (lost,) = (r for c in filter_.chains for r in c.rules if r.comment.endswith(" icmp errors in"))
    chains = tuple(replace(c, rules=tuple(r for r in c.rules if r != lost)) for c in filter_.chains)
    ruleset = replace(first.after, tables=(replace(filter_, chains=chains), *others))
    plan = compile_plan(replace(request(WEB), ruleset=ruleset))
    wrong = [o for o in plan.obligations if o.name == "guard-expired"]
    assert [ObligationStatus.BROKEN] == [o.standing for o in wrong]


@pytest.mark.parametrize(
    ("name", "slot"), [("CONNTRIM-OUTPUT", 1), ("CONNTRIM-2-OUTPUT", 2), ("OUTPUT", 0), ("MY-CONNTRIM-", 0)]
)
def test_a_chain_tells_its_slot(name: str, slot: int) -> None:
    """By its beginning alone."""
    assert slot_of_chain(name) == slot


def test_a_table_tells_its_slot() -> None:
    """Families that filter have ours: both, or one where it alone is tracked."""
    assert [slot_of_table("inet", name) for name in ("conntrim", "conntrim_2", "conntrim_3")] == [1, 2, 0]
    assert [slot_of_table(family, "conntrim") for family in ("ip", "ip6", "bridge", "netdev")] == [1, 1, 0, 0]
