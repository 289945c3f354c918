"""A NOTRACK rule that never takes effect.

What it says:
    No packet can reach the rule untouched: an earlier rule accepts, drops or
    untracks it all, gives it a zone or helper first, or the chain stands
    behind conntrack or on no hook.

Why it matters:
    The entries that the rule was to save are made all the same.

What to do:
    Move the rule to the front of raw PREROUTING or OUTPUT (nftables: a chain
    of priority raw, -300), or remove it.

Caveats:
    Rules are compared as they stand; a set that is filled later may make the
    rule useful.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.rulesets.case import RuleCase
from conntrim.core.model.finding import Finding, Severity

CODE, NAME = "CT104", "notrack-no-effect"


def check(case: RuleCase) -> Iterator[Finding]:
    """NOTRACK rules that take no packet of any family and direction."""
    taking = {id(t.rule) for s in case.sides for t in s.taken}
    for rule in case.notracks:
        if id(rule) not in taking:
            yield Finding(
                CODE,
                Severity.WARNING,
                "this NOTRACK rule never takes effect",
                (rule.text,),
                rule.place,
                ("move it to the front of raw, or remove it",),
            )
