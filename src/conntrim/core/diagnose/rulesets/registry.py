"""The checks of rule sets, and their findings in order: a cause, what follows from it, the next cause."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from conntrim.core.diagnose.rulesets import (
    answers_refused,
    cut_off,
    errors_refused,
    no_effect,
    one_way,
    open_range,
    untracked_hole,
)  # fmt: skip
from conntrim.core.diagnose.rulesets.case import case_of
from conntrim.core.diagnose.rulesets.ignored import Ignored, sort_out
from conntrim.core.model.finding import Finding
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.prove.diagram import NotDecided, deciding

MODULES = (untracked_hole, open_range, one_way, no_effect, cut_off, errors_refused, answers_refused)
"""In the order of their codes."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a rule set: each cause, the worst first, with what follows from it right behind it."""

    findings: tuple[Finding, ...]
    rules: int
    ignored: tuple[Ignored, ...] = ()
    undecided: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def check_ruleset(ruleset: Ruleset, local: Intervals | None, tick: Callable[[], None] = lambda: None) -> Checked:
    """All findings. `local` are the host's addresses, `tick` may raise `NotDecided` when time is up."""
    found: list[Finding] = []
    undecided: list[str] = []
    try:
        with deciding():
            case = case_of(ruleset, local, tick)
            for module in MODULES:
                found += module.check(case)
    except NotDecided as why:
        undecided.append(str(why))
    out = sort_out(found, ruleset, {module.CODE for module in MODULES})
    rules = sum(len(c.rules) for t in ruleset.tables for c in t.chains)
    remarks = (*ruleset.remarks, *out.remarks)
    return Checked(tuple(in_order(out.told)), rules, out.ignored, tuple(undecided), remarks)


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
