"""Dumps over a socket of our own making: what is sent arrives in order, and what goes wrong is told."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from threading import Thread

import numpy as np
import pytest

from conntrim.core.model.errors import HostError
from conntrim.core.model.flows import ALL_COLUMNS
from conntrim.core.parse.ctnetlink import NLMSG_DONE, Decoder
from conntrim.host.dump import SLOT, Trouble, dump_blocks
from conntrim.host.netlink import HEADER
from tests.unit.core.parse.test_ctnetlink import SEQ, attr, message

DONE = HEADER.pack(20, NLMSG_DONE, 2, SEQ, 77) + struct.pack("=i", 0)
PER_READ, SLOTS = 100, 3


class Wire:
    """The reading end of a pair of sockets; like a netlink socket it delivers whole reads."""

    what, seq = "a test", SEQ

    def __init__(self) -> None:
        self.far, self._near = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # As `Netlink` does it, with less patience.
        self._near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 100_000))

    def fileno(self) -> int:
        """The descriptor."""
        return self._near.fileno()

    def close(self) -> None:
        """Both ends."""
        self.far.close()
        self._near.close()


def reads(number: int) -> Iterator[bytes]:
    """So many reads of entries, whose time-outs count up from 0."""
    for first in range(0, number * PER_READ, PER_READ):
        yield b"".join(message(2, attr(7, struct.pack(">I", first + i))) for i in range(PER_READ))


def timeouts(sent: list[bytes], trouble: Trouble) -> list[int]:
    """The time-outs of all entries, in the order of the blocks."""
    decoder = Decoder(ALL_COLUMNS, SEQ)
    with closing(Wire()) as wire:
        sender = Thread(target=lambda: [wire.far.send(read) for read in sent])
        sender.start()
        try:
            with closing(dump_blocks(wire, SLOTS, trouble, decoder.decode)) as blocks:
                return [n for made in blocks for table in made.tables for n in table.timeout.tolist()]
        finally:
            wire.far.shutdown(socket.SHUT_RDWR)
            sender.join()


@pytest.mark.parametrize("number", [1, 2, 3, 4, 50])
def test_every_entry_arrives_once_and_in_order(number: int) -> None:
    """Fewer reads than a block has slots, as many, and many blocks; the end alone in a read, and behind entries."""
    every = list(range(number * PER_READ))
    *before, last = reads(number)
    trouble = Trouble()
    assert timeouts([*before, last + DONE], trouble) == every
    assert timeouts([*before, last, DONE], trouble) == every
    assert trouble == Trouble()


def test_a_long_read_before_leaves_nothing_behind() -> None:
    """A slot that held a long read and then a short one holds the short one only."""
    long, short = b"".join(reads(5)), next(reads(1))
    assert len(long) > 5 * len(short) - 1
    found = timeouts([*[long] * 2 * SLOTS, *[short] * 2 * SLOTS, DONE], Trouble())
    assert len(found) == 2 * SLOTS * 6 * PER_READ


def test_a_dump_that_stops_without_an_end_is_used_and_told() -> None:
    """What came counts."""
    trouble = Trouble()
    assert timeouts(list(reads(7)), trouble) == list(range(7 * PER_READ))
    assert trouble == Trouble(stalled=True)


def test_no_answer_at_all_is_an_error() -> None:
    """Nothing to count."""
    with pytest.raises(HostError, match="a test"):
        timeouts([], Trouble())


def test_a_read_that_does_not_fit_is_an_error() -> None:
    """It would be cut off in the middle of an entry."""
    with pytest.raises(HostError, match="too long"):
        timeouts([bytes(SLOT + 4)], Trouble())


def test_closing_stops_the_reading() -> None:
    """Whoever has seen enough leaves; the threads end though the dump does not."""
    with closing(Wire()) as wire:
        for read in reads(20):
            wire.far.send(read)
        with closing(dump_blocks(wire, SLOTS, Trouble(), np.copy)) as blocks:
            assert len(next(blocks)) == SLOTS * SLOT
