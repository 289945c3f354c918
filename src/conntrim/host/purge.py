"""Deletes conntrack entries by ctnetlink, in batches."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator, Sequence

import numpy as np

from conntrim.core.model.address import Family
from conntrim.core.model.flows import FlowTable
from conntrim.core.model.policy import Untrack
from conntrim.core.rollout.stale import COLUMNS, Mask, stale
from conntrim.host.addresses import local_addresses, local_ports
from conntrim.host.flows import NETLINK_NETFILTER, KernelFlows
from conntrim.host.netlink import NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR, READ, Netlink, messages, netlink_error

CT_DELETE = (1 << 8) | 2
"""IPCTNL_MSG_CT_DELETE of NFNL_SUBSYS_CTNETLINK."""
BATCH = 200
"""Messages a send: their 200 acknowledgements of 36 bytes fit into one socket buffer."""
NESTED = 0x8000

DELETE: dict[Family, struct.Struct] = {
    Family.IPV4: struct.Struct("=IHHII B3x HH HH HH4s HH4s HH HHB3x HH2s2x HH2s2x"),
    Family.IPV6: struct.Struct("=IHHII B3x HH HH HH16s HH16s HH HHB3x HH2s2x HH2s2x"),
}
"""A whole message: nlmsghdr, nfgenmsg, CTA_TUPLE_ORIG { CTA_TUPLE_IP { src, dst }, CTA_TUPLE_PROTO { num, ports } }."""


class KernelPurge:
    """The table of the namespace `netns`; None: ours."""

    def __init__(self, netns: str | None) -> None:
        self.netns = netns

    def purge(self, services: Sequence[Untrack]) -> int:
        """Delete exactly the entries of these services; how many."""
        local, ports = local_addresses(self.netns), local_ports(self.netns)
        doomed = [
            message
            for block in KernelFlows(self.netns).blocks(COLUMNS)
            for message in deletions(block, stale(block, services, local, ports))
        ]
        with Netlink(NETLINK_NETFILTER, "deleting conntrack entries", self.netns) as link:
            return sum(_send(link, doomed[at : at + BATCH]) for at in range(0, len(doomed), BATCH))


def deletions(block: FlowTable, chosen: Mask) -> Iterator[bytes]:
    """One message for each chosen entry that deletes it by its original tuple."""
    for row in np.flatnonzero(chosen):
        family = Family(int(block.family[row]))
        source, destination = (column[row].astype(">u8").tobytes() for column in (block.src, block.dst))
        ports = [int(column[row]).to_bytes(2, "big") for column in (block.sport, block.dport)]
        yield _deletion(family, int(block.protocol[row]), (source, destination), ports)


def _deletion(family: Family, protocol: int, addresses: tuple[bytes, bytes], ports: Sequence[bytes]) -> bytes:
    layout = DELETE[family]
    size, kinds = (4, (1, 2)) if family is Family.IPV4 else (16, (3, 4))
    pair = 4 + 2 * (4 + size)
    return layout.pack(
        *(layout.size, CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, 0, 0, family),
        *(4 + pair + 28, 1 | NESTED, pair, 1 | NESTED),
        *(4 + size, kinds[0], addresses[0][-size:], 4 + size, kinds[1], addresses[1][-size:]),
        *(28, 2 | NESTED, 5, 1, protocol, 6, 2, ports[0], 6, 3, ports[1]),
    )


def _send(link: Netlink, batch: Sequence[bytes]) -> int:
    """Send a batch and count the entries deleted; one that has gone by itself meanwhile is none."""
    link.send_raw(b"".join(batch))
    buffer = memoryview(bytearray(READ))
    answered = deleted = 0
    while answered < len(batch):
        for kind, payload in messages(bytes(buffer[: link.receive_into(buffer)])):
            if kind != NLMSG_ERROR:
                continue
            number = -struct.unpack_from("=i", payload)[0]
            if number not in (0, errno.ENOENT):
                raise netlink_error(link.what, number)
            answered, deleted = answered + 1, deleted + (number == 0)
    return deleted
