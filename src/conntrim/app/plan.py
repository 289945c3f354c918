"""The verb `plan`: a policy, given or proposed from a census, compiled against a rule set and checked by the kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from conntrim.app.budget import ticking
from conntrim.app.ports.facts import Facts
from conntrim.app.ports.frames import Frames
from conntrim.app.ports.listing import RulesetListing
from conntrim.app.ports.saved import SavedHost
from conntrim.core.capacity.refused import EVERY, looked_enough, nearly_full, refusals
from conntrim.core.emit.policy import emit_policy
from conntrim.core.model.address import Family
from conntrim.core.model.census import Census
from conntrim.core.model.circumstances import PORT_RANGE, TCP_LOOSE, Circumstances
from conntrim.core.model.errors import HostError, InputError
from conntrim.core.model.facts import Counters, Era, HostFacts, Refusals
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Batch, FileChange, Obligation, ObligationStatus, Plan
from conntrim.core.model.policy import Policy, format_ports
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Dialect, Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.model.silences import Silences
from conntrim.core.plan.compile import Request, compile_plan
from conntrim.core.plan.numbered import numbered
from conntrim.core.plan.own import fingerprint, without_own
from conntrim.core.plan.propose import Proposal, bounds, propose
from conntrim.core.rollout.batches import checkable
from conntrim.render.json import to_json
from conntrim.render.plan import plan_report

LOCAL_PORTS = (32_768, 60_999)
"""net.ipv4.ip_local_port_range as kernels have it since 3.2, where the host cannot be asked."""

Check = Callable[[Batch], str]
"""Asks the kernel whether it would take a batch: its complaint, "" where it would. HostError where it is not asked."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and the text of its policy: the file that the operator edits."""

    plan: Plan
    policy_text: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the verb found: `policy` None asks for a proposal, `check` None means that no kernel can be asked."""

    ruleset: Ruleset
    digest: str
    facts: HostFacts
    census: Census | None = None
    policy: Policy | None = None
    dialect: Dialect | None = None
    check: Check | None = None
    silences: Silences | None = None


@dataclass(frozen=True, slots=True)
class Live:
    """The host itself, in one network namespace: what the verbs plan and apply compile against."""

    listing: RulesetListing
    facts: Facts
    check: Check
    frames: Frames
    netns: str | None = None

    def inputs(self, policy: Policy | None, dialect: Dialect | None = None, census: Census | None = None) -> Inputs:
        """Everything that decides, read now."""
        ruleset = self.listing.read(self.netns).ruleset
        facts = self.facts.read(self.netns)
        return Inputs(ruleset, fingerprint(ruleset), facts, census, policy, dialect, self.check)

    def refused(self) -> Refusals | None:
        """What a table that is full refuses, looked at for some seconds.

        Expired entries are swept out all the while: they take room until somebody walks past (K160).
        """
        facts = self.facts.read(self.netns)
        if not nearly_full(facts):
            return None
        self.frames.read(1, facts.seconds, settle=True)
        before = now = self.facts.reading(self.netns, facts.seconds)
        while not looked_enough(facts, before, now):
            self.frames.read(1, now.seconds + EVERY, settle=True)
            now = self.facts.reading(self.netns, now.seconds + EVERY)
        return refusals(facts, before, now)


def elsewhere(source: str, era: Era, local: Intervals) -> HostFacts:
    """Facts of a host that is known by its files only."""
    taken = {PORT_RANGE: f"{LOCAL_PORTS[0]} {LOCAL_PORTS[1]}", TCP_LOOSE: "1"}
    remark = (
        f"made from files: the host's ephemeral ports are taken to be {LOCAL_PORTS[0]}-{LOCAL_PORTS[1]}; "
        "the plan carries no host: to apply it, make it on the host itself"
    )
    return HostFacts(
        source=source, kernel="", era=era, seconds=0.0, count=None, max=None, buckets=None, max_writable=True,
        counters=Counters(), timeouts={}, tcp_loose=None, slab_entry_bytes=None, memory_total=None, local=local,
        local_ports=LOCAL_PORTS, overflows=(), settings=(), remarks=(remark,),
        circumstances=Circumstances(settings=taken),
    )  # fmt: skip


def recorded(saved: SavedHost) -> HostFacts:
    """Facts of a host that is known by a record or a collection, with what its table refused from the first reading to
    the last. A plan of them carries no host."""
    facts = saved.read(None)
    remark = f"{facts.source}: the plan carries no host: to apply it, make it on the host itself"
    return replace(
        facts,
        remarks=(*facts.remarks, remark),
        circumstances=Circumstances(settings=facts.circumstances.settings),
        refused=refusals(facts, facts.reading, saved.reading(None, facts.seconds)) if nearly_full(facts) else None,
    )


def make_plan(inputs: Inputs) -> Planned:
    """Propose if need be, compile, and let the kernel check the texts. InputError where there is nothing to plan."""
    proposal = _proposal(inputs)
    inputs = replace(inputs, facts=_serving(inputs.facts, proposal.policy))
    ruleset = numbered(inputs.ruleset) if inputs.check else inputs.ruleset
    if proposal.policy == Policy():  # nothing is proposed in the place of a plan that stands there, either
        ruleset = without_own(ruleset)
    request = Request(
        proposal.policy, ruleset, inputs.facts, inputs.dialect, inputs.digest, inputs.census, ticking(), inputs.silences
    )
    plan = _checked(compile_plan(request), inputs.check)
    remarks = (
        *_why_nothing(plan, inputs.facts),
        *_refused(inputs, proposal.policy),
        *inputs.ruleset.unread,
        *inputs.ruleset.remarks,
        *inputs.facts.remarks,
        *plan.remarks,
    )
    return Planned(
        replace(plan, remarks=tuple(dict.fromkeys(remarks)), left_out=proposal.left_out),
        emit_policy(proposal.policy, proposal.notes, proposal.left_out),
    )


def _serving(facts: HostFacts, policy: Policy) -> HostFacts:
    """Of a host that is known by its files only: programs listen where the policy says that they serve (K74)."""
    asked = [u for u in policy.untrack if u.direction is Direction.INBOUND and u.protocol == Protocol.TCP]
    ports = Intervals.union_of([span for each in asked for span in each.ports.ranges])
    if facts.kernel or not ports:
        return facts
    remark = f"made from files: a program is taken to listen at tcp/{format_ports(ports)} on all addresses"
    return replace(facts, listening=dict.fromkeys(Family, ports), remarks=(*facts.remarks, remark))


def _why_nothing(plan: Plan, facts: HostFacts) -> tuple[str, ...]:
    """Where nothing is to be done: the numbers that say so, and what has happened for all that."""
    if plan.policy != Policy() or facts.max is None or plan.entries_before is None:
        return ()
    said = f"{plan.entries_before:,} of {facts.max:,} entries are there now: at most half, so the size may stay"
    dropped = facts.counters.get("drop") or 0
    full = f"{dropped:,} packets were dropped since boot: conntrim diagnose tells when and why" if dropped else ""
    return (said, full) if full else (said,)


def _refused(inputs: Inputs, policy: Policy) -> tuple[str, ...]:
    """Of what a full table tells nothing: how far the entries afterwards are known."""
    lost = inputs.facts.refused
    if lost is None:
        return ()
    told = "the table was full"
    if lost.dropped:
        told = f"the table is full and refuses {lost.dropped:,.1f} arrivals a second, those that ask again among them"
    between = bounds(policy, inputs.census, inputs.facts) if inputs.census else None
    if between is None:
        return (told,) if lost.dropped else ()
    low, high = between
    return (f"{told}; the entries afterwards are told of what arrives: {low:,} to {high:,} at 95 %",)


def _proposal(inputs: Inputs) -> Proposal:
    if inputs.policy is not None:
        return Proposal(inputs.policy, (), ())
    if inputs.census is None:
        raise InputError("plan", "neither a policy nor a table to propose one from", advice="give --policy or SOURCE")
    proposal = propose(inputs.census, inputs.facts)
    if proposal.policy == Policy() and inputs.facts.max is None:
        raise InputError(inputs.census.source, _nothing_said(proposal), advice=ELSEWHERE)
    return proposal


ELSEWHERE = "run it on the host, or write a policy ([[timeout]], [[limit]], [table])"


def _nothing_said(proposal: Proposal) -> str:
    """Why a table alone says nothing of what to do: each obstacle once, with how many services it keeps."""
    found = Counter(proposal.obstacles)
    why = "; ".join(f"{many} service{'s' * (many != 1)}: {text}" for text, many in found.most_common())
    stays = f"what holds 5 % or more stays tracked ({why})" if why else "no service holds 5 % of the table"
    return f"nothing to propose: {stays}; its max is not known here, so the size is not decided"


def _checked(plan: Plan, check: Check | None) -> Plan:
    """The plan with `loads` decided by the kernel."""
    if check is None or not plan.trial:
        return plan
    decided = _asked(plan, check)
    return replace(plan, obligations=tuple(decided if o.name == "loads" else o for o in plan.obligations))


def _asked(plan: Plan, check: Check) -> Obligation:
    try:
        complaints = [(batch, words) for batch in checkable(plan.trial) if (words := check(batch))]
    except HostError as error:
        return Obligation("loads", ObligationStatus.NOT_DECIDED, f"no kernel was asked to load the texts: {error}")
    if complaints:
        batch, words = complaints[0]
        return Obligation("loads", ObligationStatus.BROKEN, f"{batch.program} refuses a batch", words)
    return Obligation("loads", ObligationStatus.PROVED, f"this kernel takes all {len(plan.trial)} batches of the trial")


PLAN, POLICY = "plan.json", "policy.toml"
STEPS = ("trial", "confirm", "rollback_trial", "rollback_confirmed")


def files_of(planned: Planned) -> tuple[FileChange, ...]:
    """The files of a plan's directory."""
    plan = planned.plan
    found = [
        FileChange(POLICY, planned.policy_text),
        FileChange(PLAN, to_json("plan", plan)),
        FileChange("REPORT.md", plan_report(plan)),
    ]
    for step in STEPS:
        batches: Sequence[Batch] = getattr(plan, step)
        found += [FileChange(f"{step}/{n}-{b.program}", b.text) for n, b in enumerate(batches, 1)]
    return (*found, *(FileChange(f"files{f.path}", f.text) for f in plan.files))
