"""The checks of rule sets, the worst kinds first, and what a rule's comment asks to leave out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from conntrim.core.diagnose.rulesets import cut_off, errors_refused, no_effect, one_way, open_range, untracked_hole
from conntrim.core.diagnose.rulesets.case import case_of
from conntrim.core.model.finding import Finding, Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.prove.diagram import NotDecided, deciding

MODULES = (untracked_hole, open_range, cut_off, one_way, no_effect, errors_refused)

IGNORE = re.compile(r"conntrim: ignore (CT\d{3})\b")


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a rule set. `ignored` counts findings that a rule's comment asks to leave out."""

    findings: tuple[Finding, ...]
    rules: int
    ignored: int = 0
    undecided: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def check_ruleset(ruleset: Ruleset, local: Intervals | None, tick: Callable[[], None] = lambda: None) -> Checked:
    """All findings, the worst first, in the order of the checks where they are equally bad."""
    found: list[Finding] = []
    undecided: list[str] = []
    try:
        with deciding():
            case = case_of(ruleset, local, tick)
            for module in MODULES:
                found += module.check(case)
    except NotDecided as why:
        undecided.append(str(why))
    asked = _ignored(ruleset)
    kept = [f for f in found if (f.place, f.code) not in asked]
    rules = sum(len(c.rules) for t in ruleset.tables for c in t.chains)
    ordered = tuple(sorted(kept, key=lambda f: -f.severity))
    return Checked(ordered, rules, len(found) - len(kept), tuple(undecided), ruleset.remarks)


def _ignored(ruleset: Ruleset) -> set[tuple[Place | None, str]]:
    rules = (r for t in ruleset.tables for c in t.chains for r in c.rules if "conntrim: ignore" in r.comment)
    return {(rule.place, code) for rule in rules for code in IGNORE.findall(rule.comment)}
