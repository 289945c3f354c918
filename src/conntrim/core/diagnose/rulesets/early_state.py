"""A rule in front of conntrack refuses by state: every packet is INVALID there.

What it says:
    A rule of raw (nftables: of a chain in front of priority -200) asks for
    the conntrack state and refuses. Conntrack has not looked at the packet
    yet, so whatever no rule untracked is INVALID there, packets of
    established connections too; NEW, ESTABLISHED and RELATED it never is.
    Connections that work without the rule die by it.

Why it matters:
    What was to refuse a few stray packets refuses all of them.

What to do:
    Move the rule behind conntrack: to mangle PREROUTING, or to the filter.

Caveats:
    Rules that ask for a state in front of conntrack and never match are not
    told: nothing happens by them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial

from conntrim.core.diagnose.rulesets.case import RuleCase, early_refusals, refuses_invalid, such_as
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.ruleset import Rule
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.prove.inert import rewritten
from conntrim.core.prove.scripts import Harm
from conntrim.core.prove.untracking import Untracking

CODE, NAME = "CT120", "early-state"


def _silent(suspects: Collection[int], rule: Rule) -> Rule:
    """One of the suspects as a rule that does nothing."""
    return replace(rule, statements=()) if id(rule) in suspects else rule


def check(case: RuleCase) -> Iterator[Finding]:
    """Each of these rules by whose refusals dialogues die, once."""
    rules = early_refusals(case.ruleset)
    if not rules:
        return
    suspects = {id(rule): rule.matches for rule in rules}
    without = arrange(rewritten(case.ruleset, refuses_invalid, partial(_silent, suspects)))
    told: set[int] = set()
    for side in case.sides:
        played = Untracking(
            side.space, side.early, side.full, without, case.ruleset, side.newcomer, side.unmarked, side.local,
            suspects=suspects,
        )  # fmt: skip
        for difference in played.differences():
            for rule, part in difference.rules if difference.harm is Harm.CUT and not difference.conditional else ():
                if id(rule) not in told:
                    told.add(id(rule))
                    words = side.told(part, difference.direction)
                    yield Finding(
                        CODE, Severity.CRITICAL, "in front of conntrack every packet is INVALID, and this rule refuses"
                        " it", (rule.text, f"cut, {difference.direction}: {words.words}", such_as(words.witness)),
                        rule.place, ("move it behind conntrack: to mangle PREROUTING, or to the filter",),
                        witness=words.witness,
                    )  # fmt: skip
