"""What a rollout relies on: a list of -m recent as a switch, and why an accept must not outlive its untracking."""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack

import pytest

from conntrim.core.rollout.swap import recent
from conntrim.host.loader import HostLoader
from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost, bridged
from tests.lab.planning import WEB

LIST, PORT = "conntrim-fact", 40_000
FAMILIES = {"iptables": (socket.AF_INET, "127.0.0.1"), "ip6tables": (socket.AF_INET6, "::1")}


def arrives(host: LabHost, family: socket.AddressFamily, address: str) -> bool:
    """Does a datagram over the loopback reach its socket, or is it refused?"""
    with entered(host.name), ExitStack() as stack:
        far, near = (stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in "12")
        far.bind((address, PORT))
        near.connect((address, PORT))
        near.send(b"x")
        ready, _, _ = select.select([far, near], [], [], 5)
        assert len(ready) == 1
        return ready == [far]


@pytest.mark.parametrize("back_end", ["nft", "legacy"])
def test_k70_a_list_of_recent_is_one_switch(host: LabHost, back_end: str) -> None:
    """Rules of both families act from its filling to its emptying, of whatever address; in both back ends."""
    for name in FAMILIES:
        restore = f"{name}-{back_end}-restore"
        host.run(restore, text=f"*filter\n-A INPUT -p udp {recent(restore, LIST)} -j REJECT\nCOMMIT\n")
    loader = HostLoader(host.name)
    seen = []
    for switch in (lambda _: None, loader.fill, loader.empty, loader.fill):
        switch(LIST)
        seen.append([arrives(host, *family) for family in FAMILIES.values()])
    assert seen == [[True, True], [False, False], [True, True], [False, False]]


def heard(far: socket.socket) -> bytes:
    """The next datagram; b"" where none came."""
    try:
        return far.recv(99)
    except TimeoutError:
        return b""


def test_k72_an_entry_outlives_the_accept_that_let_its_first_packet_in() -> None:
    """Answered once, a server's datagrams go on arriving as ESTABLISHED when the accept of NEW is long gone."""
    with bridged(["server=20", "web=18"]) as hosts, ExitStack() as stack:
        web = hosts["web"]
        accept = "INPUT -p udp --sport 11211 -m conntrack --ctstate NEW -j ACCEPT"
        kept = "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT"
        web.run("iptables-nft-restore", text=f"*filter\n{kept}\n-A {accept}\n-A INPUT -p udp -j DROP\nCOMMIT\n")
        with entered(hosts["server"].name):
            near = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            near.bind(("", 11211))
            other = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            other.bind(("", 11212))
        with entered(web.name):
            far = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            far.bind(("", PORT))
            far.settimeout(5)
        near.sendto(b"first", (WEB, PORT))
        data, address = far.recvfrom(99)
        far.sendto(b"answer", address)
        web.run("iptables-nft-restore", "--noflush", text=f"*filter\n-D {accept}\nCOMMIT\n")
        other.sendto(b"a stranger's", (WEB, PORT))
        near.sendto(b"second", (WEB, PORT))
        assert [data, heard(far)] == [b"first", b"second"]
