"""K44, K45, K143: the port that a translated connection gets, and the answer that nobody turns back."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost, bridged

PATIENCE = 10.0
"""Seconds until a datagram that should come counts as lost."""
Hosts = dict[str, LabHost]


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """A client with two addresses of its own behind a gateway, and a server that has no route to them."""
    with bridged(["client=66", "gate=1", "server=17"]) as made:
        client, gate = made["client"], made["gate"]
        for address in ("10.9.0.2/24", "10.9.0.3/24"):
            client.run("ip", "address", "add", address, "dev", "eth0")
        client.run("ip", "route", "add", "192.168.0.17", "via", "10.9.0.1")
        gate.run("ip", "address", "add", "10.9.0.1/24", "dev", "eth0")
        gate.sysctl("net.ipv4.ip_forward", 1)
        gate.sysctl("net.ipv4.conf.eth0.send_redirects", 0)
        yield made


def bound(host: LabHost, address: str, port: int) -> socket.socket:
    """A datagram socket of a host."""
    with entered(host.name):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(PATIENCE)
    made.bind((address, port))
    return made


CLASSES = {100: range(1, 512), 700: range(600, 1024), 40_000: range(1024, 65536)}


@pytest.mark.parametrize("port", CLASSES)
def test_port_stays_or_becomes_one_of_its_class(hosts: Hosts, port: int) -> None:
    """K44: masquerading without ports keeps the source port; a second client with it gets another of the class."""
    hosts["gate"].run("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.9.0.0/24", "-j", "MASQUERADE")
    seen = []
    with closing(bound(hosts["server"], "192.168.0.17", 5300)) as server:
        for address in ("10.9.0.2", "10.9.0.3"):
            with closing(bound(hosts["client"], address, port)) as client:
                client.sendto(b"?", ("192.168.0.17", 5300))
                seen.append(server.recvfrom(16)[1])
    assert ("192.168.0.1", port) == seen[0]
    assert "192.168.0.1" == seen[1][0]
    assert seen[1][1] != port
    assert seen[1][1] in CLASSES[port]


@pytest.mark.parametrize(
    ("masquerades", "address", "seen"),
    [(False, "", "192.168.0.1"), (True, "", "192.168.0.1"), (False, "10.9.0.1", "10.9.0.1"),
     (True, "10.9.0.1", "192.168.0.1")],
)  # fmt: skip
def test_masquerading_gives_the_address_that_a_program_has_anyway(
    hosts: Hosts, masquerades: bool, address: str, seen: str
) -> None:
    """K143: the host's own packets have the address that masquerading would give, unless a program binds to another."""
    gate = hosts["gate"]
    hosts["server"].run("ip", "route", "add", "10.9.0.0/24", "via", "192.168.0.1")
    if masquerades:
        gate.run("iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE")
    with closing(bound(hosts["server"], "192.168.0.17", 5300)) as server, closing(bound(gate, address, 5400)) as mine:
        mine.sendto(b"?", ("192.168.0.17", 5300))
        assert (seen, 5400) == server.recvfrom(16)[1]


@pytest.mark.parametrize("address", ["192.168.0.1", "10.9.0.1", "127.0.0.5"])
def test_round_lo_a_packet_comes_from_where_it_goes_to(hosts: Hosts, address: str) -> None:
    """K143: a program that binds to nothing asks each address of its own host from that address."""
    gate = hosts["gate"]
    with closing(bound(gate, address, 5300)) as server, closing(bound(gate, "", 5400)) as mine:
        mine.sendto(b"?", (address, 5300))
        expected = "127.0.0.1" if address.startswith("127") else address
        assert (expected, 5400) == server.recvfrom(16)[1]


@pytest.mark.parametrize("back_end", ["nft", "legacy"])
def test_a_refusing_reset_does_not_meet_nat_in_output(hosts: Hosts, back_end: str) -> None:
    """K144, K145: REJECT's reset comes to POSTROUTING's nat chain without a mark, and not to OUTPUT's."""
    gate, program = hosts["gate"], f"iptables-{back_end}"
    for table, chain, rule in (
        ("filter", "INPUT", ("--dport", "81", "-m", "conntrack", "--ctstate", "NEW", "-j", "REJECT", "--reject-with",
                             "tcp-reset")),
        ("mangle", "INPUT", ("--dport", "81", "-j", "MARK", "--set-mark", "7")),
        ("nat", "OUTPUT", ("--sport", "81")), ("nat", "POSTROUTING", ("--sport", "81", "-m", "mark", "--mark", "0")),
    ):  # fmt: skip
        gate.run(program, "-t", table, "-A", chain, "-p", "tcp", *rule)
    with entered(hosts["client"].name), pytest.raises(ConnectionRefusedError):
        socket.create_connection(("192.168.0.1", 81), PATIENCE)
    counted = {}
    for chain in ("OUTPUT", "POSTROUTING"):
        listed = gate.run(program, "-t", "nat", "-vnxL", chain).splitlines()
        counted[chain] = int(listed[-1].split()[0])
    assert {"OUTPUT": 0, "POSTROUTING": 1} == counted


@pytest.mark.parametrize(("untracked", "source"), [(False, 5301), (True, 5300)])
def test_untracked_answer_is_not_turned_back(hosts: Hosts, untracked: bool, source: int) -> None:
    """K45: the answer to a redirected connection leaves from the inner port where raw rules keep it from conntrack."""
    gate = hosts["gate"]
    redirect = ("-p", "udp", "--dport", "5301", "-j", "REDIRECT", "--to-ports", "5300")
    gate.run("iptables", "-t", "nat", "-A", "PREROUTING", *redirect)
    if untracked:
        gate.run("iptables", "-t", "raw", "-A", "OUTPUT", "-p", "udp", "--sport", "5300", "-j", "NOTRACK")
    with closing(bound(gate, "192.168.0.1", 5300)) as server, closing(bound(hosts["client"], "", 40_000)) as client:
        client.sendto(b"?", ("192.168.0.1", 5301))
        _, peer = server.recvfrom(16)
        server.sendto(b"!", peer)
        assert ("192.168.0.1", source) == client.recvfrom(16)[1]
