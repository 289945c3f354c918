"""The table will be full soon, at the rate at which it grows now.

What it says:
    Between two readings the entries grew, and at that pace max is reached
    within an hour.

Why it matters:
    It is the warning before the first packet is lost.

What to do:
    See who fills it; a burst that ends within a time-out is harmless, steady
    growth is not.

Caveats:
    Two readings a second apart see a second. Growth slows as the first entries
    time out, so the true time is later or never; read again with `--interval
    60` before you act. Fewer than nine new entries count as chance.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.wording import duration, per_second
from conntrim.core.model.finding import Finding, Severity

CODE, NAME = "CT004", "filling-up"

SOON = 3_600.0
"""Seconds: longer than any time-out but that of ESTABLISHED, so a growth that lasts is no burst."""


def check(case: Case) -> Iterator[Finding]:
    """Warn within the hour."""
    seen = case.forecast()
    if seen is None or seen.seconds_to_full is None or not 0 < seen.seconds_to_full <= SOON:
        return
    title = f"full in {duration(seen.seconds_to_full)} at the present rate"
    evidence = f"+{per_second(seen.per_second)} over {seen.span:.1f} s"
    yield Finding(CODE, Severity.WARNING, title, (evidence,), advice=("read again with --interval 60",))
