"""K43: what addrtype asks of a list of kinds."""

import socket

import pytest

from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost

NEIGHBOURS = {"iptables": "192.0.2.9", "ip6tables": "2001:db8::9"}
KINDS = ("LOCAL,UNICAST", "UNICAST", "LOCAL")


def counted(host: LabHost, program: str, address: str) -> list[bool]:
    """Which of the kinds match a datagram to that address, as the rules' counters tell."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    host.run(program, "-Z", "OUTPUT")
    with entered(host.name), socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"", (address, 53))
    rows = host.run(program, "-nvxL", "OUTPUT").splitlines()[2:]
    return [row.split()[0] != "0" for row in rows]


@pytest.mark.parametrize(("program", "neighbour"), NEIGHBOURS.items())
def test_k43_kinds_of_a_list(host: LabHost, program: str, neighbour: str) -> None:
    """A neighbour's address is UNICAST; of `LOCAL,UNICAST` one kind is enough over IPv4, both are wanted over IPv6."""
    host.run("ip", "link", "add", "d0", "type", "bridge")
    host.run("ip", "address", "add", "192.0.2.1/24", "dev", "d0")
    host.run("ip", "address", "add", "2001:db8::1/64", "dev", "d0", "nodad")
    host.run("ip", "link", "set", "d0", "up")
    for kinds in KINDS:
        host.run(program, "-A", "OUTPUT", "-p", "udp", "-m", "addrtype", "--dst-type", kinds)
    assert [program == "iptables", True, False] == counted(host, program, neighbour)
