"""A barrage of single SYNs at a host: every one to its open port must be answered, none to its closed one."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost
from conntrim.lab.wire import Numbers, build

PAUSE = 0.002
"""Seconds between two SYNs to the open port; a gap without either rule set lasts at least one of them or is none."""
FIRST_PORT = 13_000
"""Source ports go up from here, each used once, and below those that the kernel gives out."""
STRANGE = (11211, 80, 22, 1023)
"""Source ports of the SYNs to the closed port: those of services are what a careless NOTRACK opens."""
GRACE = 3.0
"""Seconds after the last SYN for its answer: the kernel repeats a SYN/ACK after one."""


@dataclass(frozen=True, slots=True)
class Fallen:
    """SYNs sent to the open port and those without an answer; SYNs sent to the closed port and those let in."""

    sent: int
    unanswered: int
    strange: int
    let_in: int


@contextmanager
def barrage(host: LabHost, near: str, far: str, opened: int, closed: int) -> Iterator[list[Fallen]]:
    """Fire in a process of its own as long as the context lasts; what came of it is in the list afterwards."""
    reading, writing = os.pipe()
    stop, stopped = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(stopped)
        with suppress(BaseException), entered(host.name):
            result = _Gun(near, far, opened, closed).fire(stop)
            os.write(writing, json.dumps(result).encode())
        os._exit(0)
    os.close(writing)
    os.close(stop)
    found: list[Fallen] = []
    try:
        yield found
    finally:
        os.close(stopped)
        with open(reading, "rb") as told:
            found += [Fallen(*json.loads(text)) for text in (told.read(),) if text]
        os.waitpid(child, 0)


class _Gun:
    """Sends on a raw socket and hears copies of all TCP that arrives; the kernel resets what it knows nothing of."""

    def __init__(self, near: str, far: str, opened: int, closed: int) -> None:
        self.near, self.far, self.opened, self.closed = parse_address(near), parse_address(far), opened, closed
        self.to = (far, 0)
        self.sending = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.hearing = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        self.hearing.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE: the load's own packets come too
        self.hearing.setblocking(False)
        self.waiting: set[int] = set()
        self.let_in: set[int] = set()
        self.sent = self.strange = 0

    def fire(self, stop: int) -> tuple[int, int, int, int]:
        """Until the other end of `stop` is closed, and then a while for late answers."""
        due = time.monotonic()
        while not select.select([stop], [], [], 0)[0]:
            self.hear(max(0.0, due - time.monotonic()))
            if time.monotonic() >= due:
                due = time.monotonic() + PAUSE
                self.volley()
        end = time.monotonic() + GRACE
        while self.waiting and time.monotonic() < end:
            self.hear(0.05)
        return self.sent, len(self.waiting), self.strange, len(self.let_in)

    def volley(self) -> None:
        """One SYN to the open port, one to the closed one."""
        source = FIRST_PORT + self.sent
        self.waiting.add(source)
        self.shoot(source, self.opened)
        self.sent += 1
        self.shoot(STRANGE[self.strange % len(STRANGE)], self.closed)
        self.strange += 1

    def shoot(self, source: int, port: int) -> None:
        """One SYN."""
        syn = Packet(Family.IPV4, Protocol.TCP, self.near, self.far, source, port, tcp_flags=TcpFlag.SYN)
        self.sending.sendto(build(syn, Numbers(seq=source * 1000)), self.to)

    def hear(self, seconds: float) -> None:
        """What has arrived: SYN/ACKs of either port."""
        select.select([self.hearing], [], [], seconds)
        with suppress(BlockingIOError):
            while True:
                packet = self.hearing.recv(2048)
                head = (packet[0] & 15) * 4
                source, target = struct.unpack_from(">HH", packet, head)
                if packet[head + 13] & 0x12 == 0x12:  # SYN and ACK
                    self.waiting.discard(target) if source == self.opened else None
                    self.let_in |= {target} if source == self.closed else set()
