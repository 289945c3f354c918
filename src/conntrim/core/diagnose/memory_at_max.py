"""A full table would take much of the memory, or may grow without end.

What it says:
    Entries at max and the hash would take more than a quarter of the memory;
    or max is 0, which means no limit at all.

Why it matters:
    The table is kernel memory: it cannot be swapped out. A flood then does not
    fill a table, it fills the machine.

What to do:
    Set max to what the load needs, with headroom: the report says how much
    that is.

Caveats:
    Counted are 256 bytes of slab (or what /proc/slabinfo shows) and 64 of
    extensions an entry, 8 bytes a bucket. Accounting, time stamps, NAT and
    helpers add to it. Each network namespace may reach max.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.capacity.memory import table_bytes
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.wording import percent, size
from conntrim.core.model.finding import Finding, Severity

CODE, NAME = "CT024", "memory-at-max"

SHARE = 0.25
"""Of the machine's memory."""


def check(case: Case) -> Iterator[Finding]:
    """max 0, or memory at max against the machine's."""
    facts = case.facts
    if facts.max == 0:
        yield Finding(
            CODE, Severity.WARNING, "no limit: max is 0", ("entries may take all memory",), advice=("set max",)
        )
    if not facts.max or not facts.memory_total:
        return
    needed = table_bytes(facts.max, facts.buckets or 0, facts.slab_entry_bytes)
    if needed > SHARE * facts.memory_total:
        evidence = (f"{size(needed)} of {size(facts.memory_total)}", percent(needed, facts.memory_total))
        yield Finding(CODE, Severity.WARNING, "a full table would take much memory", evidence, advice=("lower max",))
