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
    number of entries divided by buckets is half the truth. The hash is one for
    the whole kernel: entries of all network namespaces count.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.capacity.chains import chain_limits, refused_share
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.wording import number, percent
from conntrim.core.model.finding import Finding, Severity

CODE, NAME = "CT005", "long-chains"

LONG = 4.0
"""Twice what a full table has in the kernel's own proportions since 5.15 (K27: max = buckets, K28)."""

WORTH_TELLING = 1e-4
"""Refused insertions of all; fewer are no reason to hurry."""


def check(case: Case) -> Iterator[Finding]:
    """Compare the mean chain with what the kernel's own proportions give."""
    chain, buckets = case.chain, case.facts.buckets
    if chain is None or buckets is None or case.hashed is None or chain <= LONG:
        return
    evidence = [f"{chain:,.1f} tuples in a bucket: 2 x {number(case.hashed)} / {number(buckets)}"]
    if case.chain_at_max:
        evidence.append(f"{case.chain_at_max:,.1f} when the table is full")
    limits = chain_limits(case.facts.kernel)
    share = refused_share(chain, limits) if limits else 0.0
    if limits and share >= WORTH_TELLING:
        evidence.append(f"limit {limits[0]}..{limits[1]}: {percent(share, 1)} of new entries are refused")
    yield Finding(
        CODE, Severity.WARNING, "long hash chains", tuple(evidence), advice=("raise nf_conntrack_buckets to max",)
    )
