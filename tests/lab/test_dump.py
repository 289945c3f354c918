"""How a dump of the kernel's table behaves when the reader is slow, or the table changes under it."""

from __future__ import annotations

import os
import socket
from contextlib import closing

import numpy as np
import pytest

from conntrim.core.parse.ctnetlink import Decoder
from conntrim.host.dump import Trouble, dump_blocks
from conntrim.host.flows import CT_GET, NETLINK_NETFILTER, NFGENMSG
from conntrim.host.netlink import NLM_F_DUMP, READ, Netlink
from conntrim.lab.bulk import fill_columns
from conntrim.lab.fill import Entry, track
from conntrim.lab.limits import SYSCTL, global_limits
from conntrim.lab.netns import LabHost

ENTRIES, BUCKETS = 20_000, 1 << 16


def filled(host: LabHost) -> None:
    """A table of equal entries."""
    track(host.name)
    web = Entry(6, "203.0.113.1", "192.0.2.18", 1, 80, timeout=3_600)
    fill_columns(host.name, web, {"src": 0xCB000000 + np.arange(ENTRIES)})


def test_a_small_socket_buffer_loses_nothing(host: LabHost) -> None:
    """K46: the kernel makes the next part of a dump when the reader has room for it."""
    filled(host)
    trouble = Trouble()
    with global_limits(), Netlink(NETLINK_NETFILTER, "a test", host.name) as link:
        with socket.socket(fileno=os.dup(link.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        link.send(CT_GET, NLM_F_DUMP, NFGENMSG)
        decoder = Decoder(frozenset({"dport"}), link.seq)
        with closing(dump_blocks(link, 4, trouble, decoder.decode)) as blocks:
            assert sum(len(table) for made in blocks for table in made.tables) == ENTRIES
    assert trouble == Trouble()


@pytest.mark.parametrize(("factor", "least", "most"), [(4, 1.25, 1.5), (0.25, 0.4, 0.6)])
def test_a_hash_resized_amid_a_dump_doubles_or_loses_entries_silently(
    host: LabHost, factor: float, least: float, most: float
) -> None:
    """K47: the dump goes on at the same bucket number of the new hash, and no flag says so. Half-way through, four
    times the buckets mean that three eighths of the entries come twice, a quarter that half of them are missing.
    """
    buffer, found, interrupted = memoryview(bytearray(READ)), 0, False
    with global_limits(nf_conntrack_buckets=BUCKETS):
        filled(host)
        with Netlink(NETLINK_NETFILTER, "a test", host.name) as link:
            link.send(CT_GET, NLM_F_DUMP, NFGENMSG)
            decoder, done, resized = Decoder(frozenset({"dport"}), link.seq), False, False
            while not done:
                if found >= ENTRIES // 2 and not resized:
                    with open(SYSCTL + "nf_conntrack_buckets", "w", encoding="ascii") as file:
                        file.write(str(int(BUCKETS * factor)))
                    resized = True
                read = link.receive_into(buffer)
                decoded = decoder.decode(np.frombuffer(buffer[:read], np.uint8))
                found += sum(map(len, decoded.tables))
                done, interrupted = decoded.done, interrupted or decoded.interrupted
    assert (resized, interrupted) == (True, False)
    assert least < found / ENTRIES < most
