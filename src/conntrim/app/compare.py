"""The verb compare: what one rule set newly admits and newly drops, against another."""

from __future__ import annotations

from conntrim.app.budget import ticking
from conntrim.app.ports.rulesets import Rulesets
from conntrim.core.model.intervals import Intervals
from conntrim.core.prove.compare import Comparison
from conntrim.core.prove.compare import compare as compare_all


def compare(before: Rulesets, after: Rulesets, local: Intervals, loose: bool) -> Comparison:
    """Compare two rule sets for all packets; `local` empty: whatever has no outgoing interface is for the host."""
    return compare_all(before.read(), after.read(), local or None, loose, ticking())
