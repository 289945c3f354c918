"""A change is what the kernel lists afterwards: on trial, kept and taken back, on the goldens' and others' hosts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from conntrim import wiring
from conntrim.core.change.apply import apply
from conntrim.core.change.emit import emit
from conntrim.core.change.guard import XT_GUARD, guarded, kept
from conntrim.core.change.invert import invert
from conntrim.core.model.change import AppendRule, Change, TableKey, Transaction
from conntrim.core.model.facts import HostFacts
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.normal import normal
from conntrim.core.model.place import Place
from conntrim.core.model.policy import Policy
from conntrim.core.model.ruleset import Chain, Dialect, End, In, OpaqueMatch, Rule, Ruleset, Table, Verdict
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.compile import Request, compiled
from conntrim.lab.netns import LabHost
from tests.golden.plans import HOSTS, Host
from tests.lab.planning import (
    CACHE,
    CACHE_POLICY,
    NFT_FIREWALL,
    RH_FIREWALL,
    RH_FIREWALL_V6,
    WEB,
    WEB_POLICY,
    deadline,
    facts,
    load,
)
from tests.lab.test_plan_corpus import load as load_theirs

EVERY = 1 if os.environ.get("CONNTRIM_HOSTS") else 5
"""Without CONNTRIM_HOSTS=all every fifth of other people's hosts is loaded."""
GOLDEN = Path(__file__).parents[1] / "golden/hosts"
IPTABLES = {"iptables-nft-restore": RH_FIREWALL, "ip6tables-nft-restore": RH_FIREWALL_V6}
LEGACY = {program.replace("nft", "legacy"): text for program, text in IPTABLES.items()}
GOLDENS = {"iptables-nft-restore": (GOLDEN / "rh-firewall.save").read_text(encoding="utf-8")}
RULES = {"iptables-nft": IPTABLES, "iptables-legacy": LEGACY, "nftables": {"nft": NFT_FIREWALL}, "goldens": GOLDENS}
ROLES = {"web": (WEB, WEB_POLICY), "cache": (CACHE, CACHE_POLICY)}


def listed(host: LabHost) -> Ruleset:
    """What the kernel has."""
    return wiring.listing().read(host.name).ruleset


def compared(ruleset: Ruleset) -> Ruleset:
    """In one order, and with any deadline: iptables keeps the tables and base chains that were touched once."""
    tables = tuple(replace(t, chains=tuple(map(_chain, t.chains))) for t in ruleset.tables if not _idle(t))
    return normal(replace(ruleset, tables=tables))


def _idle(table: Table) -> bool:
    idle = all(not c.rules and (c.base is None or c.base.policy is Verdict.ACCEPT) for c in table.chains)
    return table.dialect is not Dialect.NFTABLES and idle


def _chain(chain: Chain) -> Chain:
    return replace(chain, rules=tuple(map(_rule, chain.rules)))


def _rule(rule: Rule) -> Rule:
    of_time = (isinstance(m, OpaqueMatch) and m.kind == XT_GUARD.kind for m in rule.matches)
    return replace(rule, matches=tuple(XT_GUARD if time else m for m, time in zip(rule.matches, of_time, strict=True)))


def differing(host: LabHost, policy: Policy, known: HostFacts) -> list[str]:
    """At which steps of a plan the kernel lists other rules than the change says."""
    before, until = listed(host), deadline(600)
    done = compiled(Request(policy, before, known))
    assert done.texts.trial
    steps = (
        ("trial", done.texts.trial, done.trial),
        ("trial taken back", done.texts.rollback_trial, before),
        ("trial again", done.texts.trial, done.trial),
        ("kept", done.texts.confirm, done.after),
        ("kept taken back", done.texts.rollback_confirmed, before),
    )
    found = []
    for name, batches, meant in steps:
        load(host, batches, until)
        found += [name] if compared(meant) != compared(listed(host)) else []
    return found


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("rules", RULES)
def test_the_kernel_lists_what_the_change_says(host: LabHost, rules: str, role: str) -> None:
    """Each way of a plan on the document's two hosts, in all dialects and with the goldens' firewall and policies."""
    for program, text in RULES[rules].items():
        host.run(*([program, "-f", "-"] if program == "nft" else [program]), text=text)
    address, policy = ROLES[role]
    policy = (GOLDEN / f"{role}.toml").read_bytes() if rules == "goldens" else policy
    assert [] == differing(host, parse_policy(policy, "policy"), facts(address, listening=(80, 11211)))


def test_two_rules_at_the_end_of_one_nft_chain_keep_their_order(host: LabHost) -> None:
    """Appended one behind the other they stand so in the kernel's listing, on trial, kept and taken back."""
    host.run("nft", "-f", "-", text=NFT_FIREWALL)
    before, until = listed(host), deadline(600)
    table = next(t for t in before.tables if t.chain("input") is not None)
    rules = [
        Rule(
            (In(Field.PROTOCOL, Intervals.of(6)), In(Field.DPORT, Intervals.of(port))),
            (End(Verdict.ACCEPT),), Place("test"), "", f"conntrim:0123abcd {port}",
        )
        for port in (8082, 8081)
    ]  # fmt: skip
    plain = Change((Transaction(TableKey.of(table), tuple(AppendRule("input", rule) for rule in rules)),))
    trial = guarded(plain, {6})
    on_trial, after = apply(trial, before), apply(plain, before)
    for change, base, meant in (
        (trial, before, on_trial), (kept(plain, trial), on_trial, after), (invert(plain), after, before),
    ):  # fmt: skip
        load(host, emit(change, base), until)
        assert compared(meant) == compared(listed(host))


@pytest.mark.corpus
@pytest.mark.parametrize("stranger", HOSTS[::EVERY], ids=lambda host: host.name)
def test_the_kernel_lists_it_on_other_peoples_hosts(host: LabHost, corpus: Path, stranger: Host) -> None:
    """The same on other people's rules, proved or not: what is compared is the change, not what it is good for."""
    load_theirs(host, corpus, stranger)
    assert [] == differing(host, stranger.policy, stranger.facts())
