"""The checks of rule sets, and their findings in order: a cause, what follows from it, the next cause."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from conntrim.core.diagnose.rulesets import (
    answers_refused,
    cut_off,
    dialogue_cut,
    early_state,
    entry_asked,
    entry_left,
    errors_lost,
    errors_refused,
    fragments,
    helper_skipped,
    loopback_cut,
    nat_skipped,
    never_met,
    no_effect,
    one_way,
    open_range,
    proxy_missed,
    refusal_silenced,
    turned_round,
    untracked_hole,
    wide_source_port,
)  # fmt: skip
from conntrim.core.diagnose.rulesets.answers_let_in import answers_let_in
from conntrim.core.diagnose.rulesets.case import UNKNOWN, Known, RuleCase, case_of
from conntrim.core.diagnose.rulesets.cut_by_edits import cuts
from conntrim.core.diagnose.rulesets.dialogues import Differences, findings, notes, unsure
from conntrim.core.diagnose.rulesets.ignored import Ignored, sort_out
from conntrim.core.diagnose.rulesets.proved_edits import Trial, proved
from conntrim.core.model.address import Family
from conntrim.core.model.finding import Finding
from conntrim.core.model.flows import FlowTable
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.netfilter.hooks import arrange, tables_of
from conntrim.core.prove.diagram import NotDecided, deciding
from conntrim.core.prove.inert import untracks

MODULES = (
    untracked_hole, open_range, one_way, no_effect, cut_off, errors_refused, answers_refused, nat_skipped,
    helper_skipped, entry_asked, fragments, never_met, wide_source_port, refusal_silenced,
    loopback_cut, early_state,
)  # fmt: skip
"""Those that need the rule set alone."""

REST = (proxy_missed, dialogue_cut, entry_left, errors_lost)
"""What is told of differences that no other finding names."""

PAGES = tuple(sorted((*MODULES, *REST, turned_round), key=lambda module: module.CODE))
"""All of them, in the order of their codes."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a rule set: each cause, the worst first, with what follows from it right behind it."""

    findings: tuple[Finding, ...]
    rules: int
    ignored: tuple[Ignored, ...] = ()
    undecided: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entries:
    """A conntrack table of the host: its own addresses, and the entries as blocks with the columns `met.COLUMNS`."""

    local: Intervals
    blocks: Iterable[FlowTable]


def check_ruleset(
    ruleset: Ruleset,
    local: Intervals | None,
    tick: Callable[[], None] = lambda: None,
    entries: Entries | None = None,
    *,
    loose: bool = True,
    edits: bool = True,
) -> Checked:
    """All findings. `local` are the host's addresses, `tick` may raise `NotDecided` when time is up; without `entries`
    nothing is said about what the rules meet. `loose`: nf_conntrack_tcp_loose. Proving edits takes most of the time:
    without `edits` none are shown."""
    found: list[Finding] = []
    beside: list[str] = []
    alone, known = tuple[Finding, ...](), UNKNOWN
    undecided = [f"not every rule could be read: {what}" for what in ruleset.unread]
    try:
        with deciding():
            case = case_of(ruleset, local, tick, loose=loose)
            known = case.known
            differences = Differences(case, local)
            found = list(_of_rules(case, differences))
            if case.sides:
                open_ = dict.fromkeys(unsure(differences, found))
                beside = [*notes(differences, found), *answers_let_in(case, found), *open_]
            alone = tuple(found)
            if entries and case.notracks:
                found = _behind(list(turned_round.check(case, entries.local, entries.blocks)), found)
    except NotDecided as why:
        undecided.append(str(why))
    out = sort_out(found, ruleset, {module.CODE for module in PAGES})
    rules = sum(len(c.rules) for t in ruleset.tables for c in t.chains)
    remarks = (*ruleset.remarks, *out.remarks, *beside, *_idle_conntrack(ruleset))
    recheck = partial(found_in, local=local, tick=tick, loose=loose, known=known)
    cutting = partial(cuts, local=local, tick=tick, loose=loose, known=known)
    trial = Trial(ruleset, local, recheck, cutting, tick, alone, loose)
    told = in_order(out.told)
    shown = proved(told, trial) if edits else (replace(f, edits=()) for f in told)
    return Checked(tuple(shown), rules, out.ignored, tuple(undecided), remarks)


def _of_rules(case: RuleCase, differences: Differences, first: Collection[str] = ()) -> Iterator[Finding]:
    """What patterns find, as far as a dialogue shows it, those with the codes `first` before all others, and what is
    left of the differences."""
    told: list[Finding] = []
    for module in sorted(MODULES, key=lambda each: each.CODE not in first) if case.sides else ():
        for each in module.check(case):
            if (found := differences.backed(each)) is not None:
                told.append(found)
                yield found
    for kind in REST if case.sides else ():
        more = list(findings(differences, told, kind))
        told += more
        yield from more


def found_in(
    ruleset: Ruleset,
    local: Intervals | None,
    tick: Callable[[], None],
    *,
    first: Collection[str] = (),
    loose: bool = True,
    known: Known = UNKNOWN,
) -> Iterator[Finding]:
    """What is found in rules by the rules alone, one by one, with edits that nobody has proved; what has the codes
    `first` before all else. `known`: of rules that differ in little; what was found of chains that both have is
    found."""
    with deciding():
        case = case_of(ruleset, local, tick, loose=loose, known=known)
        yield from _of_rules(case, Differences(case, local), first)


def _idle_conntrack(ruleset: Ruleset) -> Iterator[str]:
    """K5: NOTRACK where nothing is tracked. No finding: old kernels track all the same, and other tools may ask too."""
    active = arrange(ruleset).active
    for family in Family:
        taking = any(untracks(rule) for table in tables_of(ruleset, family) for rule in table.rules())
        if taking and not active[family]:
            yield f"none of these rules uses conntrack for {family.label}: newer kernels track nothing there (K5)"


def _behind(turned: list[Finding], found: list[Finding]) -> list[Finding]:
    """Whatever else is wrong with a rule that stands the wrong way round follows from that."""
    causes = {finding.place: finding.name for finding in turned}
    return turned + [replace(f, caused_by=causes.get(f.place, f.caused_by)) for f in found]


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """Causes by the worst of what they bring about, each with its consequences behind it. A consequence whose cause is
    not told stands for itself."""
    every = list(found)
    names = {f.name for f in every}
    every = [f if f.caused_by in names else replace(f, caused_by="") for f in every]
    behind: dict[str, list[Finding]] = {}
    for finding in every:
        behind.setdefault(finding.caused_by, []).append(finding)

    def group(finding: Finding) -> list[Finding]:
        return [finding, *(f for each in behind.pop(finding.name, ()) for f in group(each))]

    groups = [group(cause) for cause in behind.get("", ())]
    return [f for group in sorted(groups, key=lambda g: -max(f.severity for f in g)) for f in group]
