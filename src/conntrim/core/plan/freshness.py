"""Whether a rule set is still the one that a plan was made for, and where it differs."""

from __future__ import annotations

from conntrim.core.model.plan import Plan
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.plan.own import fingerprint, parts

SHOWN = 3
"""Chains that are named; the rest is counted."""


def difference(plan: Plan, ruleset: Ruleset) -> str:
    """What differs, in words; "" where nothing does, or the plan does not say. Our own rules do not count."""
    if not plan.ruleset_digest or plan.ruleset_digest == fingerprint(ruleset):
        return ""
    before, now = plan.ruleset_parts, parts(ruleset)
    words = [f"{name} is gone" for name in before if name not in now]
    words += [f"{name} is new" for name in now if name not in before]
    words += [f"{name} has changed" for name in now if before.get(name, now[name]) != now[name]]
    more = [f"and {len(words) - SHOWN} more"] if len(words) > SHOWN else []
    return ", ".join([*words[:SHOWN], *more]) or "the rule set is not the one that it was made for"
