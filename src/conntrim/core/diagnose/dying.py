"""Entries that are counted and that nobody lists: the dying list.

What it says:
    The kernel counts far more entries than a listing shows.

Why it matters:
    A deleted entry counts until its end was reported to whoever listens to
    events. Where that listener is slow (conntrackd, a flow exporter), the
    entries wait, and the table is full of nothing. Others are timed out and
    not yet found.

What to do:
    `conntrack -L dying` and `conntrack -L unconfirmed` show them. Enlarge the
    listener's buffer, or turn off net.netfilter.nf_conntrack_events.

Caveats:
    Count and listing are taken at two moments; a busy table differs by some
    per cent.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.wording import number, percent
from conntrim.core.model.finding import Finding

CODE, NAME = "CT053", "dying-list"

LEAST, SHARE = 1_000, 0.25
"""Entries, and their part of the count, from which on the difference is no matter of two moments."""


def check(case: Case) -> Iterator[Finding]:
    """Compare the count with the whole listing."""
    count = case.facts.count
    if count is None or case.census is None or case.census.sample or case.census.incomplete:
        return
    missing = count - case.total
    if missing < max(LEAST, SHARE * count):
        return
    yield Finding(
        CODE,
        case.pressing,
        f"{number(missing)} entries are counted and not listed",
        (f"count {number(count)}, listed {number(case.total)}: {percent(missing, count)} are dying or timed out",),
        advice=("conntrack -L dying", "enlarge the buffer of whoever listens to events"),
    )
