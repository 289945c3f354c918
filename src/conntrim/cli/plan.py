"""The verb `plan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import click

from conntrim import wiring
from conntrim.app.census import take_census
from conntrim.app.panel import watch_silences
from conntrim.app.plan import Inputs, elsewhere, files_of, make_plan, recorded
from conntrim.app.ports.saved import SavedHost
from conntrim.cli import options
from conntrim.cli.options import local_ranges, stated
from conntrim.cli.output import say
from conntrim.core.model.address import parse_prefix
from conntrim.core.model.census import Census
from conntrim.core.model.errors import ConntrimError, InputError
from conntrim.core.model.facts import Era, HostFacts
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.policy import Policy
from conntrim.core.model.ruleset import Dialect
from conntrim.core.model.silences import Silences
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.own import fingerprint
from conntrim.core.rollout.difference import difference
from conntrim.render.hints import Options
from conntrim.render.json import to_json
from conntrim.render.page import page
from conntrim.render.plan import answer, plan_text
from conntrim.render.plan_diff import diff_text

TOP = 1000
"""Services of the census that a policy may name."""
DIALECTS = {"iptables": Dialect.IPTABLES_NFT, "iptables-legacy": Dialect.IPTABLES_LEGACY, "nft": Dialect.NFTABLES}
ERAS = {"nf_conntrack": Era.NF, "ip_conntrack": Era.IP}


def policy_from(path: str) -> Policy:
    """A policy file, `-` for standard input. InputError where it cannot be read."""
    return parse_policy(wiring.policy_text(path), path)


def era_of(source: str | None, named: str | None) -> Era:
    """The era that was named, or that the table's file name tells."""
    return ERAS[named] if named else Era.IP if source and "ip_conntrack" in source else Era.NF


@dataclass(frozen=True, slots=True)
class Given:
    """What to read, as it stands on the command line."""

    source: str | None
    policy: Policy | None
    rulesets: Sequence[str]
    ours: Sequence[tuple[int, int]]
    netns: str | None

    @property
    def foreign(self) -> bool:
        """Whether the files tell everything, and so may be another host's."""
        return bool(self.rulesets) and (self.source is not None or self.policy is not None)


@click.command(name="plan")
@click.argument("source", required=False)
@click.option("--policy", metavar="FILE", help="Compile this policy instead of proposing one.")
@click.option("--ruleset", "rulesets", multiple=True, metavar="FILE", help="Rules to plan for; else the live ones.")
@click.option("--local", metavar="ADDR,...", help="The host's own addresses or prefixes; else its own, or inferred.")
@click.option("--dialect", type=click.Choice(list(DIALECTS)), help="Write raw rules so; else as the host has them.")
@click.option("--era", type=click.Choice(list(ERAS)), help="Names of the kernel's keys, for a host known by files.")
@click.option("-o", "--output", metavar="DIR", help="Write policy, plan, rules, files and REPORT.md into DIR.")
@click.option("--again", type=click.IntRange(1, 100_000), metavar="N", help="Read the table N times more for silences.")
@click.option(
    "--every", type=click.FloatRange(0.1, 3600), default=5.0, metavar="SECONDS", show_default=True, help="With --again."
)
@click.option("--diff", "as_diff", is_flag=True, help="Say what a confirm adds to what is loaded, and takes out.")
@click.option("-q", "--quiet", is_flag=True, help="Only the answer, in one line; the exit code is the same.")
@options.netns
@stated
@options.as_json
def command(
    *, source: str | None, policy: str | None, rulesets: tuple[str, ...], local: str | None, dialect: str | None,
    era: str | None, output: str | None, again: int | None, every: float, as_diff: bool, quiet: bool,
    netns: str | None, state: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Which services to leave untracked, the rules for it, and the proof that they break nothing.

    SOURCE: a conntrack table to propose a policy from; nothing for this kernel's, a file, or - for standard input.
    """
    if source is not None and netns is not None:
        raise InputError("--netns", "a saved table has no namespace", advice="leave out --netns or the file")
    if as_diff + quiet + as_json > 1:
        raise InputError("--diff, -q, --json", "one of them tells the plan", advice="leave out the others")
    given = Given(source, policy_from(policy) if policy else None, rulesets, local_ranges(local), netns)
    inputs = _inputs(given, era_of(source, era), DIALECTS.get(dialect or ""))
    if again is not None:
        inputs = replace(inputs, silences=_silences(given, again, every))
    planned = make_plan(inputs)
    if output:
        _refuse_on_trial(output, netns, state)
        wiring.plans().write(output, files_of(planned))
    if as_json:
        say(to_json("plan", planned.plan))
    elif as_diff:
        say(diff_text(planned.plan, difference(planned.plan, inputs.ruleset)))
    elif quiet:
        say(page([answer(planned.plan)]))
    else:
        say(plan_text(planned.plan, output or "", Options(netns or "")))
    raise SystemExit(int(planned.plan.status() is not ObligationStatus.PROVED))


def _refuse_on_trial(directory: str, netns: str | None, state: str | None) -> None:
    """Where the journal can be read; who may not read it has nothing on trial, and a plan changes nothing."""
    from conntrim.app.on_trial import refuse_on_trial  # noqa: PLC0415  # rollouts are no matter to most plans

    ports = wiring.rollout(netns, state)
    try:
        journal = ports.journal.read()
    except ConntrimError:
        return
    refuse_on_trial(directory, wiring.plans().name(directory), journal, ports.clock.now())


def _inputs(given: Given, era: Era, dialect: Dialect | None) -> Inputs:
    """Everything read. Files alone speak of another host, and so does what was recorded there; whatever is not in a
    file is this kernel's."""
    census, saved = None, wiring.saved(given.source)
    refused = wiring.live(given.netns).refused() if given.source is None and not given.foreign else None
    if given.source is not None or not given.foreign:
        viewpoint = wiring.viewpoint(given.source, given.netns, given.ours)
        full = saved.fullest() if saved else None
        table = full.flows() if full else wiring.flows(given.source, given.netns)
        census = take_census(table, viewpoint, TOP, full.sample if full else "exact")
    if saved is not None and not _here(saved, given.netns):
        ruleset = wiring.rulesets(given.rulesets, None).read() if given.rulesets else saved.ruleset()
        return Inputs(ruleset, fingerprint(ruleset), _named(recorded(saved), given.ours), census, given.policy, dialect)
    if not given.rulesets:
        inputs = wiring.live(given.netns).inputs(given.policy, dialect, census)
        return replace(inputs, facts=replace(_named(inputs.facts, given.ours), refused=refused))
    if given.foreign:
        facts = elsewhere(given.source or given.rulesets[0], era, _addresses(given.ours, census))
    else:
        facts = _named(wiring.facts().read(given.netns), given.ours)
    ruleset = wiring.rulesets(given.rulesets, given.netns).read()
    return Inputs(ruleset, fingerprint(ruleset), facts, census, given.policy, dialect)


def _here(saved: SavedHost, netns: str | None) -> bool:
    """Whether it was made on this host, in this namespace: then rules and sizes are those of now."""
    made, now = saved.read(None).circumstances, wiring.here(netns)
    return (made.host, made.namespace) == (now.host, now.namespace)


def _silences(given: Given, again: int, every: float) -> Silences | None:
    """Of this kernel's table from now on, or of a record's."""
    saved = wiring.saved(given.source)
    readings = saved.frames() if saved else None
    if readings is None and (given.source is not None or given.foreign):
        raise InputError("--again", "a saved table stays as it is", advice="conntrim record makes one that does not")
    viewpoint = wiring.viewpoint(given.source, given.netns, given.ours)
    assert viewpoint is not None  # a kernel or a record tells it
    return watch_silences(readings or wiring.frames(given.netns), viewpoint, again=again, every=every)


def _named(facts: HostFacts, ours: Sequence[tuple[int, int]]) -> HostFacts:
    """The facts, with the addresses that were named instead of its own."""
    return replace(facts, local=Intervals.union_of(ours)) if ours else facts


def _addresses(ours: Sequence[tuple[int, int]], census: Census | None) -> Intervals:
    """The named addresses, else those that the census took for the host's own."""
    if ours or census is None:
        return Intervals.union_of(ours)
    return Intervals.of(*(parse_prefix(text) for text in census.local if "-" not in text))
