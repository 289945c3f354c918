"""/proc/slabinfo: what one conntrack entry really takes (K29)."""

from __future__ import annotations

import re

PAGE = 4096
"""Bytes of a page on the architectures that firewalls run on; larger pages hold more objects, the quotient stays."""

ROW = re.compile(r"^(?:nf|ip)_conntrack(?:_[0-9a-f]{8,16})? +\d+ +\d+ +(\d+) +(\d+) +(\d+) ", re.MULTILINE)
"""Object size, objects a slab, pages a slab. Kernels before 4.7 had one cache a namespace, named by its address."""


def slab_entry_bytes(text: str) -> int | None:
    """Bytes a conntrack entry takes, what is lost at a slab's end included; None where no cache has that name."""
    found = ROW.search(text)
    if found is None:
        return None
    size, objects, pages = (int(number) for number in found.groups())
    return max(size, pages * PAGE // objects) if objects else size
