"""The table of expected connections is full.

What it says:
    The kernel log says `expectation table full`.

Why it matters:
    A helper (ftp, sip, h323) announces each data connection there. Where it
    finds no room the data connection is unsolicited, and most rule sets
    refuse it: transfers hang, calls have no sound.

What to do:
    Enlarge net.netfilter.nf_conntrack_expect_max (a kernel parameter of the
    module in old kernels), and look at who announces so many.

Caveats:
    It is a table of its own: nf_conntrack_max has no part in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.wording import number
from conntrim.core.model.finding import Finding, Severity

CODE, NAME = "CT054", "expectations-full"


def check(case: Case) -> Iterator[Finding]:
    """Count the log's lines."""
    lines = case.facts.expect_full
    if not lines:
        return
    yield Finding(
        CODE,
        Severity.WARNING,
        f"the table of expected connections was full, {number(lines)} log line{'s' if lines > 1 else ''}",
        advice=("sysctl -w net.netfilter.nf_conntrack_expect_max=1024, or more than now",),
    )
