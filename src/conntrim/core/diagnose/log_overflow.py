"""The kernel log says that a table was full.

What it says:
    Lines `nf_conntrack: table full, dropping packet` (`ip_conntrack` in the
    2.6 era) about this namespace.

Why it matters:
    They show when it happened, which no counter does.

What to do:
    As for a full table (CT001). Compare the times with what the host did then:
    a backup, a crawler, a release.

Caveats:
    The log is rate-limited and its ring is short, so the number of lines says
    little. Kernels before 2025 do not name the namespace: such a line may be
    about any of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose import table_full
from conntrim.core.diagnose.case import RING, Case
from conntrim.core.diagnose.wording import duration, number, per_second
from conntrim.core.model.facts import Overflow
from conntrim.core.model.finding import Finding, Place, Severity

CODE, NAME = "CT003", "log-overflow"


def when(case: Case, line: Overflow) -> str:
    """A line's time, as exact as the log has it."""
    if line.seconds is None or line.when:
        return line.when or "at an unknown time"
    if line.source == RING and case.last.seconds >= line.seconds:
        return f"{duration(case.last.seconds - line.seconds)} ago"
    return f"{duration(line.seconds)} after boot"


def _kept_back(case: Case) -> Iterator[str]:
    """How many more messages there would have been: their rate is the better measure of what was lost."""
    if case.facts.suppressed is not None:
        seconds = case.facts.suppressed.seconds
        rate = f", {per_second(case.facts.suppressed.messages / seconds)}" if seconds else ""
        yield f"{number(case.facts.suppressed.messages)} more messages suppressed{rate}"


def check(case: Case) -> Iterator[Finding]:
    """Count the lines; without a known max they are the best witness there is, so then they are critical."""
    lines = case.overflows()
    if not lines:
        return
    before = case.counter("drop") == 0
    severity = Severity.CRITICAL if case.facts.max is None else Severity.OK if before else Severity.WARNING
    crowded = case.fill is not None and case.fill >= case.thresholds.warning
    first, last = lines[0], lines[-1]
    yield Finding(
        CODE,
        severity,
        f"the kernel log tells of a full table, {number(len(lines))} line{'s' if len(lines) > 1 else ''}",
        (
            f"first {when(case, first)}",
            f"last {when(case, last)}",
            last.text,
            *(["before this boot"] if before else []),
            *_kept_back(case),
        ),
        Place(last.source, last.line),
        caused_by=table_full.CODE if crowded else "",
    )
