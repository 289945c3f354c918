"""What a host's rules say about causes: which services they untrack in one direction only."""

from __future__ import annotations

from conntrim.app.budget import ticking
from conntrim.app.ports.rulesets import Rulesets
from conntrim.core.diagnose.case import Rules
from conntrim.core.diagnose.rulesets import one_way
from conntrim.core.diagnose.rulesets.registry import check_ruleset
from conntrim.core.model.intervals import Intervals


def rules_of(source: Rulesets, local: Intervals) -> Rules:
    """Read the rule set and ask the check that knows of it. InputError and HostError as reading gives them."""
    checked = check_ruleset(source.read(), local or None, ticking())
    return Rules(tuple(finding for finding in checked.findings if finding.code == one_way.CODE))
