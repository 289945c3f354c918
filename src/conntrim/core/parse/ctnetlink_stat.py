"""ctnetlink statistics: the answers to IPCTNL_MSG_CT_GET_STATS_CPU and IPCTNL_MSG_CT_GET_STATS, as bytes.

Used where /proc/net/stat is compiled out (K33). A payload is a `struct nfgenmsg` and attributes, whose numbers are
those of include/uapi/linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from conntrim.core.model.facts import Counters

NFGENMSG_SIZE = 4
NLATTR = struct.Struct("=HH")
ATTRIBUTE_TYPE = 0x3FFF
"""The upper two bits of an attribute's type are flags."""

NFNL_CTNETLINK = 1
GET_STATS_CPU, GET_STATS = 4, 5
"""`enum cntl_msg_types`."""

CPU_ATTRIBUTES: dict[int, str] = {
    1: "searched", 2: "found", 3: "new", 4: "invalid", 5: "ignore", 6: "delete", 7: "delete_list", 8: "insert",
    9: "insert_failed", 10: "drop", 11: "early_drop", 12: "icmp_error", 13: "search_restart", 14: "clash_resolve",
    15: "chaintoolong",
}  # fmt: skip
"""`enum ctattr_stats_cpu`, by the names that /proc uses."""

GLOBAL_ATTRIBUTES: dict[int, str] = {1: "entries", 2: "max_entries"}
"""`enum ctattr_stats_global`."""


def _numbers(payload: bytes, names: dict[int, str]) -> Iterator[tuple[str, int]]:
    """Attribute name and its big-endian 32-bit value; unknown attributes are passed over."""
    at = NFGENMSG_SIZE
    while at + NLATTR.size <= len(payload):
        length, attribute = NLATTR.unpack_from(payload, at)
        value = payload[at + NLATTR.size : at + length]
        name = names.get(attribute & ATTRIBUTE_TYPE)
        if name and len(value) == 4:
            yield name, int.from_bytes(value, "big")
        at += max((length + 3) & ~3, NLATTR.size)


def stats_cpu(payloads: Iterable[bytes]) -> Counters:
    """Each counter summed over the CPUs, one payload a CPU."""
    sums: dict[str, int] = {}
    for payload in payloads:
        for name, value in _numbers(payload, CPU_ATTRIBUTES):
            sums[name] = sums.get(name, 0) + value
    return Counters(sums, "ctnetlink statistics")


def stats_global(payloads: Iterable[bytes]) -> dict[str, int]:
    """`entries` of this namespace and `max_entries`, as far as this kernel tells."""
    return {name: value for payload in payloads for name, value in _numbers(payload, GLOBAL_ATTRIBUTES)}
