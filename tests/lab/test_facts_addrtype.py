"""K43: what addrtype asks of a list of kinds."""

import socket

import pytest

from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost, bridged

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


OWN = {
    "192.0.2.1": "192.0.2.9", "192.0.2.2": "192.0.2.9", "198.51.100.1": "192.0.2.9", "127.0.0.1": "127.0.0.1",
    "127.0.0.9": "192.0.2.1", "2001:db8::1": "2001:db8::9", "2001:db8::2": "2001:db8::9",
    "2001:db8:1::1": "2001:db8::9", "::1": "::1",
}  # fmt: skip
"""The host's addresses of all kinds (a further one of a network, one of a link without neighbours, the loopback's),
and whom it writes to from there."""
FOREIGN = {"203.0.113.7": "192.0.2.9", "2001:db8:7::7": "2001:db8::9"}
TRANSPARENT = {socket.AF_INET: (socket.SOL_IP, 19), socket.AF_INET6: (socket.IPPROTO_IPV6, 75)}
"""IP_TRANSPARENT, IPV6_TRANSPARENT (linux/in.h, in6.h): the socket carries an address which is none of the host's."""
XT = ("iptables-nft", "ip6tables-nft"), ("iptables-legacy", "ip6tables-legacy")
NFT = """\
table inet raw {
  counter own { }
  chain output {
    type filter hook output priority raw
    udp dport 9 fib saddr type local counter name own
  }
}
"""


def send_from(host: LabHost, source: str, to: str, *, foreign: bool = False) -> None:
    """One datagram to port 9 from an address."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with entered(host.name), socket.socket(family, socket.SOCK_DGRAM) as sender:
        if foreign:
            sender.setsockopt(*TRANSPARENT[family], 1)
        sender.bind((source, 0))
        sender.sendto(b"", (to, 9))


def addressed(host: LabHost) -> None:
    """Give the host `OWN`, and neighbours that it need not look for."""
    for device, addresses in (
        ("d0", ("192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64", "2001:db8::2/64")),
        ("d1", ("198.51.100.1/32", "2001:db8:1::1/128")),
    ):
        host.run("ip", "link", "add", device, "type", "bridge")
        for address in addresses:
            host.run("ip", "address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
        host.run("ip", "link", "set", device, "up")


def matched(host: LabHost, dialect: tuple[str, str] | None) -> int:
    """How many packets the rule matched since it was asked last."""
    if dialect is None:
        return int(host.run("nft", "reset", "counters").split("packets ")[1].split()[0])
    rows = [host.run(program, "-t", "raw", "-nvxL", "OUTPUT", "-Z").splitlines()[2] for program in dialect]
    return sum(int(row.split()[0]) for row in rows)


@pytest.mark.parametrize("dialect", [*XT, None], ids=["nft back end", "legacy", "nft"])
def test_k73_a_local_source_in_raw_output(host: LabHost, dialect: tuple[str, str] | None) -> None:
    """In raw OUTPUT every address of the host's own is LOCAL, and what a socket took from elsewhere is not."""
    addressed(host)
    if dialect is None:
        host.run("nft", "-f", "-", text=NFT)
    for program in dialect or ():
        rule = ("-p", "udp", "--dport", "9", "-m", "addrtype", "--src-type", "LOCAL")
        host.run(program, "-t", "raw", "-A", "OUTPUT", *rule)
    found = {}
    for source, to in OWN.items():
        send_from(host, source, to)
        found[source] = matched(host, dialect)
    for source, to in FOREIGN.items():
        send_from(host, source, to, foreign=True)
        found[source] = matched(host, dialect)
    assert dict.fromkeys(OWN, 1) | dict.fromkeys(FOREIGN, 0) == found


ANYCAST = """\
table inet t {
  chain in { type filter hook input priority 0; ip6 daddr 2001:db8:1:: udp dport 9 counter; }
  chain through { type filter hook forward priority 0; ip6 daddr 2001:db8:1::/64 udp dport 9 counter; }
}
"""


def test_k125_the_lowest_address_of_a_network_is_its_routers() -> None:
    """K125: a datagram for the network's lowest address ends at the router, one for its neighbour is passed on."""
    with bridged(["sender=1", "router=2"]) as hosts:
        router, sender = hosts["router"], hosts["sender"]
        router.sysctl("net.ipv6.conf.all.forwarding", 1)
        router.run("ip", "link", "add", "behind", "type", "bridge")
        router.run("ip", "address", "add", "2001:db8:1::1/64", "dev", "behind", "nodad")
        router.run("ip", "link", "set", "behind", "up")
        for host, own in ((router, "2001:db8::2/64"), (sender, "2001:db8::1/64")):
            host.run("ip", "address", "add", own, "dev", "eth0", "nodad")
        router.run("nft", "-f", "-", text=ANYCAST)
        sender.run("ip", "route", "add", "2001:db8:1::/64", "via", "2001:db8::2")
        for to in ("2001:db8:1::", "2001:db8:1::2"):
            with entered(sender.name), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sending:
                sending.sendto(b"x", (to, 9))
        listed = router.run("nft", "list", "table", "inet", "t")
    assert 2 == listed.count("counter packets 1 bytes 49")
