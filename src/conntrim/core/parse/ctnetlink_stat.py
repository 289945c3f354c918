"""ctnetlink statistics: the answers to IPCTNL_MSG_CT_GET_STATS_CPU and IPCTNL_MSG_CT_GET_STATS, as bytes.

Used where /proc/net/stat is compiled out (K33). Message layout: include/uapi/linux/netlink.h; attribute numbers:
include/uapi/linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from conntrim.core.model.facts import Counters

NLMSGHDR = struct.Struct("=IHHII")
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


def _bodies(data: bytes, kind: int) -> Iterator[bytes]:
    """The attributes of each message of this kind in a datagram; others (done, error) are passed over."""
    at = 0
    while at + NLMSGHDR.size <= len(data):
        length, message, *_ = NLMSGHDR.unpack_from(data, at)
        if length < NLMSGHDR.size:
            return
        if message == NFNL_CTNETLINK << 8 | kind:
            yield data[at + NLMSGHDR.size + NFGENMSG_SIZE : at + length]
        at += length + 3 & ~3


def _numbers(body: bytes, names: dict[int, str]) -> Iterator[tuple[str, int]]:
    """Attribute name and its big-endian 32-bit value; unknown attributes are passed over."""
    at = 0
    while at + NLATTR.size <= len(body):
        length, attribute = NLATTR.unpack_from(body, at)
        if length < NLATTR.size:
            return
        name = names.get(attribute & ATTRIBUTE_TYPE)
        if name and length == NLATTR.size + 4:
            yield name, int.from_bytes(body[at + NLATTR.size : at + length], "big")
        at += length + 3 & ~3


def stats_cpu(data: bytes) -> Counters:
    """Each counter summed over the CPUs; `data` are the datagrams of the dump, joined."""
    sums: dict[str, int] = {}
    for body in _bodies(data, GET_STATS_CPU):
        for name, value in _numbers(body, CPU_ATTRIBUTES):
            sums[name] = sums.get(name, 0) + value
    return Counters(sums, "ctnetlink statistics")


def stats_global(data: bytes) -> dict[str, int]:
    """`entries` of this namespace and `max_entries`, as far as this kernel tells."""
    return {name: value for body in _bodies(data, GET_STATS) for name, value in _numbers(body, GLOBAL_ATTRIBUTES)}
