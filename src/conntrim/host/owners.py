"""Whose sockets they are: the process by the socket's inode, its unit, container or pod by its cgroup."""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from conntrim.app.ports.owners import Sockets
from conntrim.core.model.facts import Listener, Owner
from conntrim.host.listeners import MESSAGE, NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY
from conntrim.host.namespaces import belongs, comm
from conntrim.host.netlink import NLM_F_DUMP, Netlink
from conntrim.host.netns import entered

REQUEST = struct.Struct("=BBBxI48x")
EVERY_STATE, LISTEN = 0xFFF, 10
SOCKET = re.compile(r"socket:\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class _Socket:
    protocol: int
    state: int
    port: int
    peer_port: int
    waiting: int
    backlog: int
    inode: int


class KernelSockets:
    """The sockets of one network namespace; see the port."""

    def read(self, netns: str | None) -> Sockets:
        """Who listens, with queues; whose sockets are open; TCP's own counters."""
        found = list(_sockets(netns))
        names = _names({each.inode for each in found if each.inode})
        listeners = tuple(
            Listener(each.port, each.waiting, each.backlog, names.get(each.inode, ""))
            for each in found
            if each.protocol == socket.IPPROTO_TCP and each.state == LISTEN
        )
        owners = dict.fromkeys(
            Owner(each.protocol, each.peer_port if each.peer_port and not ours else each.port, ours, names[each.inode])
            for each in found
            if each.inode in names
            for ours in ((True,) if each.state == LISTEN or not each.peer_port else (False, True))
        )
        with entered(netns):
            counters = _tcp_counters()
        return Sockets(listeners, tuple(owners), counters)


def _sockets(netns: str | None) -> Iterator[_Socket]:
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
            with Netlink(NETLINK_SOCK_DIAG, "reading whose sockets are open", netns) as link:
                link.send(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, REQUEST.pack(family, protocol, 0, EVERY_STATE))
                for _, payload in link.answers():
                    _, state, _, _, port, peer, _, _, _, _, waiting, backlog, _, inode = MESSAGE.unpack_from(payload)
                    yield _Socket(protocol, state, int.from_bytes(port, "big"), int.from_bytes(peer, "big"), waiting,
                                  backlog, inode)  # fmt: skip


def _names(inodes: set[int]) -> dict[int, str]:
    """The program behind each inode: `nginx (pid 812, nginx.service)`."""
    found: dict[int, str] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        held = _held(pid) & inodes
        if held:
            name = _name(pid)
            for inode in held:
                found.setdefault(inode, name)
    return found


def _held(pid: str) -> set[int]:
    """The inodes of a process's sockets; none of one that is gone or not ours to see."""
    held = set()
    try:
        for link in os.scandir(f"/proc/{pid}/fd"):
            if inode := SOCKET.match(os.readlink(link.path)):
                held.add(int(inode[1]))
    except OSError:
        return held
    return held


def _name(pid: str) -> str:
    where = belongs(pid)
    return f"{comm(pid)} (pid {pid}{', ' * bool(where)}{where})"


def _tcp_counters() -> dict[str, int]:
    """`TcpExt` of this namespace: ListenOverflows, TCPReqQFullDoCookies, ..."""
    try:
        with open("/proc/thread-self/net/netstat", encoding="ascii") as file:
            lines = [line.split() for line in file if line.startswith("TcpExt:")]
    except OSError:
        return {}
    if len(lines) != 2:
        return {}
    return {name: int(value) for name, value in zip(lines[0][1:], lines[1][1:], strict=False)}
