"""What is proved again is what is loaded: the rules of now, whatever a plan of today would write."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.core.model.plan import OWN_HOOKS, ObligationStatus, Purpose, purpose_of
from conntrim.core.model.ruleset import Chain, Dialect, Jump
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.compile import Request, compile_plan, compiled
from conntrim.core.plan.loaded import loaded
from conntrim.core.plan.own import is_own_chain, is_own_table
from conntrim.core.rollout.claim import OWN_NFT_JUMPS
from tests.unit.core.plan.planning import CACHE, WEB, facts, filtered, rules

HOST = facts("192.168.0.18")
BASE = rules(
    filtered(
        "-i lo -j ACCEPT", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT",
        "-p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT",
    )
)  # fmt: skip
LIMIT = '[[limit]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [22]\nconnections = 5\n'
TIMED = '[[timeout]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [22]\nseconds = { established = 600 }\n'
DIALECTS = [Dialect.IPTABLES_NFT, Dialect.NFTABLES]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rules_for_the_ports_of_then_are_broken_by_the_ports_of_now(dialect: Dialect) -> None:
    """The loaded rules name the ports that this host's clients used; a plan of today would name others."""
    request = Request(parse_policy(CACHE.encode(), "policy"), BASE, HOST, dialect)
    made, now = compile_plan(request), compiled(request).after
    assert {ObligationStatus.PROVED} == {o.standing for o in loaded(made, now, HOST)}
    found = {o.name: o.standing for o in loaded(made, now, replace(HOST, local_ports=(20000, 60999)))}
    assert ObligationStatus.BROKEN is found["two-sided"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_own_chains_are_known_by_their_names(dialect: Dialect) -> None:
    """What a chain is for, and where it hangs, is read from its name again: in both dialects, of every purpose."""
    forwarded = (LIMIT + TIMED).replace("inbound", "forwarded")
    policy = WEB + CACHE + LIMIT + TIMED + forwarded + TIMED.replace("inbound", "outbound")
    done = compiled(Request(parse_policy(policy.encode(), "policy"), BASE, HOST, dialect))
    own = [t for t in done.after.tables if is_own_table(t)]
    hung = {(own_purpose(c), c.base.hook, f"nft inet {t.name} {c.name}") for t in own for c in t.chains if c.base}
    asked = set(Purpose) if dialect is Dialect.NFTABLES else {Purpose.TIMEOUT}
    assert {(p, hook) for p in asked for hook in OWN_HOOKS[p]} == {(p, hook) for p, hook, _ in hung}
    assert {name for *_, name in hung} <= OWN_NFT_JUMPS.keys()
    chains = [c.name for t in done.after.tables for c in t.chains if is_own_chain(c)]
    named = {(purpose_of(name), name.rpartition("-")[2].lower()) for name in chains if not name[-1].isdigit()}
    assert {(p, str(hook)) for p in set(Purpose) - asked for hook in OWN_HOOKS[p]} == named


def own_purpose(chain: Chain) -> Purpose:
    """What the chains that a base chain jumps to are for, which is what it is for itself."""
    (purpose,) = {purpose_of(s.chain) for r in chain.rules for s in r.statements if isinstance(s, Jump)}
    assert purpose_of(chain.name) is purpose
    return purpose


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_a_limit_refuses_is_no_loss_of_the_services(dialect: Dialect) -> None:
    """Each kind of cure is judged by its own rules among those that are loaded: as the plan was."""
    request = Request(parse_policy((WEB + LIMIT + TIMED).encode(), "policy"), BASE, HOST, dialect)
    made, now = compile_plan(request), compiled(request).after
    before = {o.name: o.standing for o in made.obligations}
    found = {o.name: o.standing for o in loaded(made, now, HOST)}
    assert {"no-loss", "only-over-limit", "exact-entries", "verdicts-kept"} <= found.keys()
    assert {name: before[name] for name in found} == found
