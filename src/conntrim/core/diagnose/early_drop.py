"""The table made room by throwing out entries before their time.

What it says:
    The counter `early_drop` is above zero: the table was full, and entries
    that were not yet ASSURED had to go.

Why it matters:
    The connections that are thrown out are the young ones: theirs is the next
    packet to be INVALID or dropped.

What to do:
    As for a full table (CT001).

Caveats:
    The kernel looks at eight buckets only; in a large table that is nearly
    empty of victims it finds none and drops the packet instead (CT002). A
    small number here does not mean that little was lost.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose import table_full
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.wording import number, per_second
from conntrim.core.model.finding import Finding, Severity

CODE, NAME = "CT008", "early-drop"


def check(case: Case) -> Iterator[Finding]:
    """Look at `early_drop`, and at its growth."""
    evicted, growth = case.counter("early_drop"), case.per_second("early_drop")
    if not evicted:
        return
    yield Finding(
        CODE,
        Severity.WARNING if growth else Severity.OK,
        f"{number(evicted)} young entries thrown out to make room",
        () if growth is None else (f"{per_second(growth)} now",),
        caused_by=table_full.CODE if (case.fill or 0) >= case.thresholds.warning else "",
    )
