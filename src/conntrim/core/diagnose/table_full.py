"""The table is full, or nearly so.

What it says:
    The number of entries is above 75 % (warning) or 90 % (critical) of
    nf_conntrack_max; `-w` and `-c` set other marks.

Why it matters:
    A full table drops every packet that would start a connection, before any
    rule sees it. Connections that have an entry go on, so the host looks half
    alive.

What to do:
    Find who fills it (the services named in the report) and untrack or repair
    that; enlarge the table for what is left.

Caveats:
    max holds for each network namespace by itself, while the setting is one
    for the whole kernel. A table just below max may still refuse entries, see
    CT006.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.wording import number, percent
from conntrim.core.model.finding import Finding, Severity

CODE, NAME = "CT001", "table-full"


def check(case: Case) -> Iterator[Finding]:
    """Compare the fill with the thresholds."""
    if case.fill is None or case.count is None or case.facts.max is None or case.fill < case.thresholds.warning:
        return
    severity = Severity.CRITICAL if case.fill >= case.thresholds.critical else Severity.WARNING
    title = "table full" if case.count >= case.facts.max else f"table {case.fill:.1f} % full"
    evidence = [f"{number(case.count)} of {number(case.facts.max)} entries"]
    if case.evictable is not None:
        evidence.append(f"{percent(case.evictable, 1)} may be thrown out for new ones (not ASSURED)")
    yield Finding(CODE, severity, title, tuple(evidence), advice=("untrack the services that fill it", "enlarge it"))
