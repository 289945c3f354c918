"""K74: who may open TCP connections from a port at which a program listens; and the ports where one does, as read."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from conntrim.core.model.address import Family
from conntrim.core.model.intervals import Intervals
from conntrim.host.listeners import listening
from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost

PORT, OPTIONS = 8443, {"reuse": socket.SO_REUSEADDR, "port": socket.SO_REUSEPORT}
V4, V6, BOTH = (Intervals.of(PORT), Intervals()), (Intervals(), Intervals.of(PORT)), (Intervals.of(PORT),) * 2
LISTENERS = {
    "IPv4": ("0.0.0.0", False, V4), "both": ("::", False, BOTH), "IPv6": ("::", True, V6),
    "one address": ("192.0.2.1", False, (Intervals(), Intervals())),
}  # fmt: skip
"""Where a program listens, whether for IPv6 alone, and what is then read, by family."""


@contextmanager
def bound(host: LabHost, address: str, *options: str, alone: bool = False) -> Iterator[socket.socket]:
    """A TCP socket of the host's at `PORT`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with entered(host.name), socket.socket(family) as made:
        for option in options:
            made.setsockopt(socket.SOL_SOCKET, OPTIONS[option], 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(alone))
        made.bind((address, PORT))
        yield made


def refused(host: LabHost, address: str, *options: str) -> bool:
    """Whether a socket that would open connections from the port cannot have it."""
    try:
        with bound(host, address, *options):
            return False
    except OSError as error:
        return errno.EADDRINUSE == error.errno


@pytest.mark.parametrize("name", LISTENERS)
def test_k74_no_connection_is_opened_from_where_a_program_listens(host: LabHost, name: str) -> None:
    """Who listens on all addresses of a family keeps the port, from sockets that would share it too; who listens on one
    address keeps it there."""
    host.run("ip", "address", "add", "192.0.2.1/24", "dev", "lo")
    address, alone, expected = LISTENERS[name]
    with bound(host, address, "reuse", alone=alone) as server:
        server.listen()
        assert dict(zip(Family, expected, strict=True)) == listening(host.name)
        for family, other in zip(Family, ("127.0.0.1", "::1"), strict=True):
            held = PORT in listening(host.name)[family]
            assert [held] * 3 == [refused(host, other, *options) for options in ((), ("reuse",), ("port",))]
        assert (name in ("IPv4", "both", "one address")) is refused(host, "192.0.2.1", "reuse")


def test_k74_two_that_agree_share_a_port(host: LabHost) -> None:
    """Only where both asked for SO_REUSEPORT may one open connections from where the other listens."""
    with ExitStack() as stack:
        server = stack.enter_context(bound(host, "0.0.0.0", "port"))
        server.listen()
        assert refused(host, "127.0.0.1", "reuse")
        assert not refused(host, "127.0.0.1", "port")
