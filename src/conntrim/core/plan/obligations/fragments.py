"""Port matches see whole packets.

How it is decided:
    While any rule of a family uses conntrack, fragments are put together
    before raw (K5, K6). Asked is whether some rule does so both before and
    after; in a family where nothing does, nothing is tracked and nobody can
    tell an untracked fragment from another.

Broken means:
    Only first fragments are untracked.

What to do:
    Nothing: it is not decided only where the plan's own rules would be the
    first to use conntrack. `raw_before_defrag` is taken to be off.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.netfilter.hooks import arrange
from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.obligations.spec import OPEN, PROVED, Judgement, Spec

NAME = "fragments"


def by_plan(c: Compiled) -> Iterator[Judgement]:
    """Whether conntrack is used before and after."""
    families = dict.fromkeys(leg.family for leg in c.legs)
    before, after = arrange(c.before).active, arrange(c.after).active
    fragile = [f.name for f in families if not before[f] and after[f]]
    if fragile:
        yield OPEN, f"until the plan's own rules use conntrack for {' and '.join(fragile)}, packets come in parts", ""
    unused = [f.name for f in families if not before[f]]
    if unused:
        yield PROVED, f"{SPEC.fine}; nothing uses it for {' and '.join(unused)}", ""


SPEC = Spec(
    NAME, "conntrack stays in use by other rules, so packets are whole before raw (raw_before_defrag is off)",
    by_plan=by_plan,
)  # fmt: skip
