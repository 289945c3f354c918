"""The host's own addresses and ports, against namespaces set up by hand."""

from __future__ import annotations

from conntrim.core.model.address import parse_address
from conntrim.core.model.intervals import Intervals
from conntrim.host.addresses import local_addresses, local_ports
from conntrim.lab.netns import LabHost


def test_local_addresses_are_what_the_kernel_delivers_here(host: LabHost) -> None:
    """Loopback as a whole, each interface address, and a prefix routed as local; broadcast addresses are not ours."""
    host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far")
    host.run("ip", "link", "set", "eth0", "addrgenmode", "none")
    host.run("ip", "link", "set", "eth0", "up")
    host.run("ip", "address", "add", "192.0.2.7/24", "broadcast", "192.0.2.255", "dev", "eth0")
    host.run("ip", "address", "add", "2001:db8::7/64", "dev", "eth0", "nodad")
    host.run("ip", "route", "add", "local", "198.51.100.0/28", "dev", "lo")
    first = parse_address("198.51.100.0")
    expected = Intervals.of(
        (parse_address("127.0.0.0"), parse_address("127.255.255.255")),
        parse_address("192.0.2.7"),
        (first, first + 15),
        parse_address("::1"),
        parse_address("2001:db8::7"),
    )
    assert expected == local_addresses(host.name)


def test_local_ports_are_the_namespaces_own(host: LabHost) -> None:
    """The range is read inside the namespace, not in ours."""
    host.sysctl("net.ipv4.ip_local_port_range", "10240 10300")
    assert local_ports(host.name) == (10240, 10300)
