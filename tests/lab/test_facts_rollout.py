"""What a rollout relies on: a list of -m recent as a switch, and why an accept must not outlive its untracking."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

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


RANGES = "ip saddr { 0.0.0.1-192.168.0.98, 192.168.0.100-255.255.255.254 }"
ROUNDS = 40


def test_k104_rules_that_come_in_beside_others_let_no_packet_through() -> None:
    """A set with ranges comes empty with its rule: with an old rule beside it no packet of a flood meets neither."""
    with bridged(["client=20", "web=18"]) as hosts:
        web = hosts["web"]
        hook = "type filter hook input priority 0;"
        web.run("nft", "-f", "-", text=f"table ip t {{ chain input {{ {hook} {RANGES} accept; counter drop; }}; }}")
        with flood(hosts["client"], WEB):
            for _ in range(ROUNDS):
                listed = json.loads(web.run("nft", "-ja", "list", "chain", "ip", "t", "input"))["nftables"]
                web.run("nft", "insert", "rule", "ip", "t", "input", RANGES, "counter", "accept")
                web.run("nft", "delete", "rule", "ip", "t", "input", "handle", str(listed[-2]["rule"]["handle"]))
        counted = re.findall(r"packets (\d+)", web.run("nft", "list", "chain", "ip", "t", "input"))
    assert int(counted[0]) > 0
    assert "0" == counted[-1]


@contextmanager
def flood(host: LabHost, address: str) -> Iterator[None]:
    """UDP as fast as one process sends it, from a process of its own, as long as the context lasts."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException), entered(host.name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            while os.getppid() != 1:
                with suppress(OSError):
                    sending.sendto(b"x", (address, 99))
        os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
