"""The hash has too few buckets for its entries.

What it says:
    On average more than four tuples hang in one bucket.

Why it matters:
    Each packet walks such a chain, twice for a new connection. Since Linux
    5.15 an entry whose chain is too long is refused although the table has
    room (CT006).

What to do:
    Raise `net.netfilter.nf_conntrack_buckets` to as many as max; 8 bytes each.
    It is possible while running.

Caveats:
    Every entry hangs in two chains, one for each direction: two tuples a
    bucket is what a full table has when there are as many buckets as max. The
    number of entries divided by buckets is half the truth.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.capacity.chains import chain_limits, mean_chain, refused_share
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.wording import number, percent
from conntrim.core.model.finding import Finding, Severity

CODE, NAME = "CT005", "long-chains"

LONG = 4.0
"""Twice what a full table has in the kernel's own proportions since 5.15 (K27: max = buckets, K28)."""


def check(case: Case) -> Iterator[Finding]:
    """Compare the mean chain with what the kernel's own proportions give."""
    chain, buckets = case.chain, case.facts.buckets
    if chain is None or buckets is None or case.count is None or chain <= LONG:
        return
    evidence = [f"{chain:.1f} tuples in a bucket: 2 x {number(case.count)} / {number(buckets)}"]
    if case.facts.max:
        evidence.append(f"{mean_chain(case.facts.max, buckets):.1f} when the table is full")
    if limits := chain_limits(case.facts.kernel):
        share = percent(refused_share(chain, limits), 1)
        evidence.append(f"limit {limits[0]}..{limits[1]}: {share} of new entries are refused")
    yield Finding(
        CODE, Severity.WARNING, "long hash chains", tuple(evidence), advice=("raise nf_conntrack_buckets to max",)
    )
