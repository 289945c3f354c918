"""The verb check: findings in a rule set."""

from __future__ import annotations

from conntrim.app.budget import ticking
from conntrim.app.ports.rulesets import Rulesets
from conntrim.core.diagnose.rulesets.registry import Checked, check_ruleset
from conntrim.core.model.intervals import Intervals


def check(source: Rulesets, local: Intervals) -> Checked:
    """Look through a rule set; `local` empty: whatever has no outgoing interface is for the host."""
    return check_ruleset(source.read(), local or None, ticking())
