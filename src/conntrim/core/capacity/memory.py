"""What the table costs: bytes of its entries and of its hash (K29)."""

from __future__ import annotations

SLAB_ENTRY_BYTES = 256
"""An entry's slab object where /proc/slabinfo does not tell (K29)."""

EXTENSION_BYTES = 64
"""A second allocation that holds the extensions (accounting, timestamps, NAT, labels, helper), most often this big.

256 + 64 is the lower end of the budget of K29, 320 to 400 bytes an entry.
"""

BUCKET_BYTES = 8
"""A list head."""


def entry_bytes(slab_entry_bytes: int | None = None) -> int:
    """Bytes that one more entry takes; the slab's own measure where there is one."""
    return (slab_entry_bytes or SLAB_ENTRY_BYTES) + EXTENSION_BYTES


def table_bytes(entries: int, buckets: int, slab_entry_bytes: int | None = None) -> int:
    """Bytes of a table with that many entries and buckets."""
    return entries * entry_bytes(slab_entry_bytes) + buckets * BUCKET_BYTES
