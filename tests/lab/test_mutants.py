"""Proved plans, broken one way at a time: whoever changes what the kernel does is told, with a packet that shows it.

`CONNTRIM_MUTANTS` says how many mutants of each plan are tried (`make mutants`); else a few, always the same.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.model.address import Family
from conntrim.core.model.errors import HostError
from conntrim.core.model.facts import HostFacts
from conntrim.core.model.packet import Packet
from conntrim.core.model.plan import Batch, ObligationStatus, Plan
from conntrim.core.model.policy import Policy
from conntrim.core.model.ruleset import Ruleset, TableFamily
from conntrim.core.parse.policy import parse_policy
from conntrim.core.parse.ruleset import read
from conntrim.core.plan.compile import Request, compile_plan
from conntrim.core.plan.obligations.decide import Proof, decide
from conntrim.lab.claims import scenes_of
from conntrim.lab.limits import global_limits
from conntrim.lab.replay import Stage, batches_of, stage
from conntrim.lab.truth import SIZES
from tests.lab.battery import OURS, Act, Answer, acts, asked, harm
from tests.lab.mutating import Mutant, mutants
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

MANY = int(os.environ.get("CONNTRIM_MUTANTS", "3"))
OPEN = (
    "is not known",
    "`an SCTP chunk that may open an association` does not match",
    "not so while a program listens at that port on all addresses",
)
"""Reasons to leave a harmless mutant open: the order within the priority of defrag, what the model cannot see, and
what the host's programs do (K74)."""
UNPLAYABLE = ("it goes to a group",)
"""Reasons for which a witness is not played: nobody sends to 0.0.0.0, and a group has no receiver here. Where a mutant
has no other witness, and the battery meets no harm, its blame is the prover's word alone; it is listed as such."""
MOST_UNCONFIRMED = 0.02
"""The part of the mutants that may be blamed by the prover's word alone."""
ROLES = {"web": (WEB, WEB_POLICY), "cache": (CACHE, CACHE_POLICY)}
DIALECTS = ("iptables", "nftables")


@pytest.fixture(scope="module")
def made() -> Iterator[Stage]:
    """A stage for all mutants; the table's size is held, so that no other lab run fills it meanwhile."""
    with global_limits(**SIZES), stage(("eth0", "eth1")) as found:
        yield found


def listed(made: Stage, dialect: str) -> Ruleset:
    """What the kernel lists of a dialect."""
    if dialect == "nftables":
        return read(made.oracle.listing(), "nft")
    v4 = read(made.oracle.host.run("iptables-save"), "rules.v4", TableFamily.IP)
    return v4 + read(made.oracle.host.run("ip6tables-save"), "rules.v6", TableFamily.IP6)


FIREWALLS = {
    "iptables": (Batch("iptables-restore", RH_FIREWALL), Batch("ip6tables-restore", RH_FIREWALL_V6)),
    "nftables": (Batch("nft", NFT_FIREWALL),),
}


@dataclass(slots=True)
class Bench:
    """One plan, as it was proved and loaded, and what the kernel says to the battery with it and without it."""

    made: Stage
    policy: Policy
    facts: HostFacts
    before: Ruleset
    after: Ruleset
    plan: Plan
    acts: list[Act]
    was: Answer
    good: Answer
    counts: Counter[str] = field(default_factory=Counter)
    unconfirmed: list[str] = field(default_factory=list)

    def judged(self, ruleset: Ruleset) -> Proof:
        """The obligations with a mutant in the place of the plan's rules."""
        return decide(self.before, ruleset, self.policy, self.facts.local, self.facts.local_ports)

    def asked(self, ruleset: Ruleset) -> Answer:
        """The kernel's answers to the battery."""
        with self.made.scenery(packets_of(self.acts)):
            return asked(self.made, ruleset, self.acts)

    def wrong(self, mutant: Mutant) -> list[str]:
        """What prover and kernel disagree on, about one mutant."""
        try:
            done = harm(self.acts, self.was, self.good, self.asked(mutant.ruleset))
        except (NotExpressible, HostError):
            self.made.oracle.unload()
            self.counts["no rule set"] += 1
            return []
        found = self.judged(mutant.ruleset)
        broken = any(o.standing is ObligationStatus.BROKEN for o in found.obligations)
        open_ = [f"{o.name}: {o.why}" for o in found.obligations if o.standing is ObligationStatus.NOT_DECIDED]
        self.counts[f"{'harmful' if done else 'harmless'}, {'blamed' if broken else 'not blamed'}"] += 1
        played = self.made.play(batches_of(self.before), batches_of(mutant.ruleset), list(scenes_of(found)))
        self.counts["witnesses"] += len(played)
        self.counts["confirmed"] += sum(one.confirmed for one in played)
        self.counts += Counter(f"not played: {one.missing}" for one in played if one.missing)
        told = [f"{mutant.name}: not confirmed: {one}" for one in played if not one.confirmed and not one.missing]
        if broken and not done and not any(one.confirmed for one in played):
            unplayed = [f"{mutant.name}: {one.words}" for one in played if one.missing in UNPLAYABLE]
            self.unconfirmed += unplayed[:1]
            told += [f"{mutant.name}: no witness is confirmed"] if not unplayed else []
        told += [f"{mutant.name}: called proved, but {done[0]}"] if done and not broken else []
        self.counts["left open"] += bool(open_)
        return told + [f"{mutant.name}: not decided: {why}" for why in open_ if not why.endswith(OPEN)]


def packets_of(acts: list[Act]) -> list[Packet]:
    """All packets of a battery."""
    return [packet for act in acts for line in act for packet in line.packets]


def bench_of(made: Stage, role: str, dialect: str) -> Bench:
    """Plan for a role as an operator does, load and confirm it, and ask the kernel what it lists then."""
    address, text = ROLES[role]
    policy, known = parse_policy(text, "policy.toml"), facts(address, OURS[Family.IPV6])
    made.oracle.load(FIREWALLS[dialect])
    try:
        before = listed(made, dialect)
        plan = compile_plan(Request(policy, before, known))
        until = deadline(600)
        load(made.oracle.host, plan.trial, until)
        load(made.oracle.host, plan.confirm, until)
        after = listed(made, dialect)
    finally:
        made.oracle.unload()
    sent = acts(address, policy)
    with made.scenery(packets_of(sent)):
        was, good = asked(made, before, sent), asked(made, after, sent)
    return Bench(made, policy, known, before, after, plan, sent, was, good)


def some(found: list[Mutant], count: int) -> list[Mutant]:
    """So many of them, spread evenly."""
    return [found[i * len(found) // count] for i in range(count)] if count < len(found) else found


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("role", ROLES)
def test_whoever_changes_what_the_kernel_does_is_told(made: Stage, role: str, dialect: str) -> None:
    """Of each mutant kernel and prover say the same: harm is blamed, every witness that can be played is confirmed, and
    who is blamed is so by harm or by a confirmed witness, but for the few that are listed as unconfirmed."""
    bench = bench_of(made, role, dialect)
    assert {ObligationStatus.PROVED} == {o.standing for o in bench.judged(bench.after).obligations}
    assert [] == harm(bench.acts, bench.was, bench.good, bench.good)
    found = list(mutants(bench.after))
    wrong = [line for mutant in some(found, MANY) for line in bench.wrong(mutant)]
    print(f"\n{role}, {dialect}: {len(found)} mutants, {min(MANY, len(found))} tried: {dict(bench.counts)}")
    print(*(f"blamed, not confirmed: {line}" for line in bench.unconfirmed), sep="\n")
    assert "" == "\n".join(wrong)
    assert len(bench.unconfirmed) <= 1 + MANY * MOST_UNCONFIRMED
    assert len(found) > 250
    assert bench.counts["confirmed"] > 0


def test_an_expired_trial_is_as_before_and_a_rule_without_its_guard_is_not(made: Stage) -> None:
    """K39: behind its deadline a trial changes nothing; take one guard away, and the kernel tells."""
    bench = bench_of(made, "web", "iptables")
    spent = [Batch(b.program.replace("-nft-", "-"), b.text) for b in bench.plan.trial]
    lines = [line for batch in spent for line in batch.text.splitlines() if line.startswith("-I PREROUTING")]
    free = lines[0].replace("-m time --datestop @DEADLINE@ ", "")
    assert free != lines[0]
    found = {}
    for name, text in (("spent", lines[0]), ("free", free)):
        batches = [Batch(b.program, b.text.replace(lines[0], text)) for b in spent]
        made.oracle.load(batches_of(bench.before))
        load(made.oracle.host, batches, "2020-01-01T00:00:00")
        ruleset = listed(made, "iptables")
        made.oracle.unload()
        found[name] = bench.asked(ruleset)
    assert bench.was == found["spent"]
    assert bench.was != found["free"]
