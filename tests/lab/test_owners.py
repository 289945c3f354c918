"""Whose sockets they are, on a real kernel."""

from __future__ import annotations

import os
import socket

from conntrim.host.netns import entered
from conntrim.host.owners import KernelSockets
from conntrim.lab.netns import LabHost
from tests.lab.test_facts import until


def test_a_full_accept_queue_and_whose_it_is(host: LabHost) -> None:
    """A listener with room for two, asked by five: more wait than may, this process is named, and the kernel counted
    what it dropped.
    """
    with entered(host.name):
        listener = socket.create_server(("127.0.0.1", 8_080), backlog=1)
        asking = [socket.socket() for _ in range(5)]
    for each in asking:
        each.setblocking(False)
        each.connect_ex(("127.0.0.1", 8_080))
    assert until(lambda: KernelSockets().read(host.name).listeners[0].waiting > 1)
    found = KernelSockets().read(host.name)
    (one,) = found.listeners
    assert (one.port, one.backlog, f"(pid {os.getpid()}" in one.owner) == (8_080, 1, True)
    assert (found.tcp_counters or {}).get("ListenOverflows", 0) > 0
    mine = {(owner.protocol, owner.port, owner.listens) for owner in found.owners if str(os.getpid()) in owner.name}
    assert {(6, 8_080, True), (6, 8_080, False)} <= mine
    for each in (*asking, listener):
        each.close()


def test_other_namespaces_sockets_are_not_told(host: LabHost) -> None:
    """A listener of the namespace we are in is none of the host's."""
    with socket.create_server(("127.0.0.1", 0)):
        assert KernelSockets().read(host.name).listeners == ()
