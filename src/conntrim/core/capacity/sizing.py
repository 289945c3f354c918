"""How large the table must be: entries by arrival rate and lifetime, and max and buckets for that many.

In a steady state a table holds as many entries as arrive during one lifetime (Little's law). A table that is full holds
only what got in, so the number needed is what it holds and what was turned away.
"""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.capacity.memory import table_bytes

HEADROOM = 2.0
"""max as a multiple of the entries expected: normal days stay below 50 %, so a warning at 75 % means something."""

SMALLEST_MAX = 65_536
"""Below it nothing is gained: 25 MB. Also what kernels before 5.15 give a machine of 4 GB and less (K27)."""

LARGEST_MAX = 1 << 30
"""The largest power of two that the sysctl, a signed 32-bit number, takes."""

HASHSIZE_FACTOR = 8
"""`hashsize=` at module load makes max this many times as large, until a sysctl says otherwise (K27)."""

LEAST_MAX = 1024
"""Below this no table is lowered, however few entries it has now: one page of a browser makes some dozens."""


@dataclass(frozen=True, slots=True)
class Size:
    """A table's size: `entries` expected, `max` and `buckets` for them, and the bytes it takes when full."""

    entries: int
    max: int
    buckets: int
    bytes: int


def steady_entries(arrivals_per_second: float, lifetime: float) -> int:
    """Entries of a steady stream of new flows that each stay for `lifetime` seconds (K32)."""
    return round(arrivals_per_second * lifetime)


def next_power(number: int) -> int:
    """The smallest power of two that is not smaller."""
    return 1 << max(number - 1, 0).bit_length()


def size_for(entries: int, slab_entry_bytes: int | None = None, headroom: float = HEADROOM) -> Size:
    """The table for that many entries: max a power of two with headroom, as many buckets (K27, K28: 2 tuples each)."""
    maximum = min(LARGEST_MAX, max(SMALLEST_MAX, next_power(round(entries * headroom))))
    return Size(entries, maximum, maximum, table_bytes(maximum, maximum, slab_entry_bytes))


def crowded(maximum: int, before: int | None, entries: int) -> bool:
    """Whether a new max would be a narrower table than these entries need; a larger one than before is always better.

    0 is no limit (K27). Too narrow is less than the headroom that every proposal has, or than the least of any host.
    """
    lower = before is None or before == 0 or maximum < before
    return lower and 0 < maximum < max(entries * HEADROOM, LEAST_MAX)


def max_after_load(hashsize: int) -> int:
    """nf_conntrack_max after loading the module with `hashsize=`, before any sysctl (K27)."""
    return HASHSIZE_FACTOR * hashsize
