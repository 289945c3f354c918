"""What the kernel itself says of its rule sets, beside what programs list: the generation, and the names of tables."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from conntrim.core.model.errors import HostError
from conntrim.host.netlink import ATTRIBUTE, NLM_F_ACK, NLM_F_DUMP, Netlink
from conntrim.host.netns import entered

NETLINK_NETFILTER = 12
NFNL_SUBSYS_NFTABLES = 10
NFT_MSG_GETTABLE, NFT_MSG_GETGEN = 1, 16
NFTA_GEN_ID, NFTA_TABLE_NAME = 1, 1
"""linux/netfilter/nf_tables.h"""

FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}
"""`nfgenmsg.nfgen_family` of the tables on the path of IP packets."""

LEGACY_TABLES = ("ip_tables_names", "ip6_tables_names")
"""Files of /proc/net with the names of iptables-legacy's tables."""

_GENERIC = struct.Struct(">BBH")
"""`struct nfgenmsg`: family, version, resource."""


def generation(netns: str | None = None) -> int | None:
    """A number that counts up with every change of nf_tables' rules; None where the kernel does not tell."""
    try:
        for _, payload in _asked(netns, NFT_MSG_GETGEN, NLM_F_ACK):
            for kind, value in _attributes(payload):
                if kind == NFTA_GEN_ID:
                    return int.from_bytes(value, "big")
    except HostError:
        return None
    return None


def table_names(netns: str | None = None) -> tuple[str, ...]:
    """`ip filter`, ...: the tables of nf_tables that are there, none where the kernel has no nf_tables."""
    found = []
    try:
        for _, payload in _asked(netns, NFT_MSG_GETTABLE, NLM_F_DUMP):
            family = FAMILIES.get(payload[0])
            names = [value.rstrip(b"\0").decode("utf-8", "replace")
                     for kind, value in _attributes(payload) if kind == NFTA_TABLE_NAME]  # fmt: skip
            found += [f"{family} {name}" for name in names if family]
    except HostError:
        return ()
    return tuple(found)


def legacy_names(netns: str | None = None) -> tuple[str, ...]:
    """The tables of iptables-legacy that are there, as `ip filter`."""
    found: list[str] = []
    for file, family in zip(LEGACY_TABLES, ("ip", "ip6"), strict=True):
        try:
            with entered(netns), open(f"/proc/thread-self/net/{file}", encoding="ascii") as names:
                found += [f"{family} {name}" for name in names.read().split()]
        except OSError:
            continue
    return tuple(found)


def _asked(netns: str | None, message: int, flags: int) -> Iterator[tuple[int, bytes]]:
    with Netlink(NETLINK_NETFILTER, "nf_tables", netns) as link:
        link.send(NFNL_SUBSYS_NFTABLES << 8 | message, flags, _GENERIC.pack(0, 0, 0))
        yield from link.answers()


def _attributes(payload: bytes) -> Iterator[tuple[int, bytes]]:
    at = _GENERIC.size
    while at + ATTRIBUTE.size <= len(payload):
        length, kind = ATTRIBUTE.unpack_from(payload, at)
        if length < ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, payload[at + ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
