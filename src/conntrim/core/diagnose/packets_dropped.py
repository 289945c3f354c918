"""The kernel dropped packets because it could not make an entry for them.

What it says:
    The counter `drop` of this namespace is above zero: a warning when it
    stands still, critical while it grows.

Why it matters:
    Each dropped packet is a connection that waits for a second or three, or
    fails. The kernel log does not show how many there were, it is
    rate-limited; this counter does.

What to do:
    As for a full table (CT001). If no table is full now, look at the log's
    times (CT003) for when it was.

Caveats:
    The kernel counts here also an insertion that lost a race (CT007) and a
    packet that a protocol helper refused. Counters start at boot, or with the
    namespace, and cannot be set back. Senders try again: there are more drops
    than connections.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose import table_full
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.wording import number, per_second
from conntrim.core.model.finding import Finding, Severity

CODE, NAME = "CT002", "packets-dropped"


def check(case: Case) -> Iterator[Finding]:
    """Look at `drop`, and at its growth."""
    dropped, growth = case.counter("drop"), case.per_second("drop")
    if not dropped:
        return
    evidence = [f"{number(dropped)} since boot"]
    if growth is not None:
        evidence.append(f"{per_second(growth)} now")
    full = case.fill is not None and case.fill >= case.thresholds.warning
    yield Finding(
        CODE,
        Severity.CRITICAL if growth else Severity.WARNING,
        f"{number(dropped)} packets dropped" + ("" if growth else ", none of them now" if growth == 0 else ""),
        tuple(evidence),
        caused_by=table_full.CODE if full else "",
    )
