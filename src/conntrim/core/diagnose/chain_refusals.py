"""Entries were refused because their hash chain was too long.

What it says:
    The counter `chaintoolong` (`chainlength` in /proc/net/stat/nf_conntrack)
    is above zero; critical while it grows.

Why it matters:
    Such packets are dropped although the table is not full, and nothing is
    written to the log.

What to do:
    More buckets (CT005). If the chains are short on average, somebody may know
    how to hit one bucket: look at the peers.

Caveats:
    The limit is drawn at random for each insertion, 8 to 32 from Linux 5.15 on
    and 50 to 80 later. Older kernels have neither the limit nor the counter.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose import long_chains
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.wording import number, per_second
from conntrim.core.model.finding import Finding, Severity

CODE, NAME = "CT006", "chain-refusals"


def check(case: Case) -> Iterator[Finding]:
    """Look at `chaintoolong`, and at its growth."""
    refused, growth = case.counter("chaintoolong"), case.per_second("chaintoolong")
    if not refused:
        return
    evidence = (f"{number(refused)} since boot",) + (() if growth is None else (f"{per_second(growth)} now",))
    yield Finding(
        CODE,
        Severity.CRITICAL if growth else Severity.WARNING,
        f"{number(refused)} entries refused for a long hash chain",
        evidence,
        advice=("raise nf_conntrack_buckets",),
        caused_by=long_chains.CODE if (case.chain or 0) > long_chains.LONG else "",
    )
