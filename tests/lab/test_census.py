"""Known workloads in a namespace: the census reports exactly what was made there."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import numpy as np

from conntrim.app.census import take_census
from conntrim.core.model.census import Census
from conntrim.core.model.conntrack import Status, TcpState
from conntrim.core.model.flows import ALL_COLUMNS, FlowTable
from conntrim.core.parse.conntrack_text import TextTable
from conntrim.host.flows import KernelFlows
from conntrim.host.netns import entered
from conntrim.host.viewpoint import kernel_viewpoint
from conntrim.lab.fill import Entry, fill, track
from conntrim.lab.limits import global_limits
from conntrim.lab.netns import LabHost, bridged

OURS, OURS6 = "192.0.2.18", "2001:db8::18"


def addressed(host: LabHost) -> None:
    """Give the host one address of each family on an interface that leads nowhere."""
    host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far")
    host.run("ip", "address", "add", f"{OURS}/24", "dev", "eth0")
    host.run("ip", "address", "add", f"{OURS6}/64", "dev", "eth0", "nodad")
    host.run("ip", "link", "set", "eth0", "up")


def census_of(host: LabHost) -> Census:
    """What the verb would say of this host."""
    return take_census(KernelFlows(host.name), kernel_viewpoint(host.name), 100)


Kind = tuple[int, Callable[[int], Entry]]

KINDS: tuple[Kind, ...] = (
    (101, lambda i: Entry(6, OURS, "198.51.100.17", 20_000 + i, 11211, TcpState.TIME_WAIT, 120)),
    (53, lambda i: Entry(6, f"203.0.113.{i}", OURS, 20_000, 80, TcpState.ESTABLISHED, 431_000)),
    (31, lambda i: Entry(6, f"203.0.113.{i}", OURS, 20_001, 80, TcpState.SYN_SENT, 120, replied=False)),
    (23, lambda i: Entry(17, OURS, "198.51.100.53", 20_000 + i, 53, timeout=30, replied=False)),
    (19, lambda i: Entry(17, OURS6, "2001:db8:1::53", 20_000 + i, 53, timeout=120)),
    (17, lambda i: Entry(6, "127.0.0.1", "127.0.0.1", 20_000 + i, 8080)),
    (13, lambda i: Entry(6, "203.0.113.200", OURS, 20_000 + i, 8443, nat="10.0.0.2")),
    (11, lambda i: Entry(6, OURS, "203.0.113.9", 80, 40_000 + i, replied=False)),
    (7, lambda i: Entry(1, "203.0.113.9", OURS, i, 8 << 8, timeout=30)),
    (5, lambda i: Entry(58, "2001:db8:2::9", OURS6, i, 128 << 8, timeout=30)),
    (3, lambda i: Entry(132, f"203.0.113.{i}", OURS, 5000, 2905, state=4)),
    (2, lambda i: Entry(47, f"203.0.113.{i}", OURS, zone=5)),
    (37, lambda i: Entry(99, "2001:db8:2::9", OURS6, zone=i + 100)),
)
"""A prime number of each kind."""


def known_workload() -> Iterator[Entry]:
    """All kinds."""
    for count, make in KINDS:
        yield from map(make, range(count))


KNOWN = {
    "outbound tcp/11211 to 198.51.100.17": (101, 0, 0, 0, 1),
    "inbound tcp/80": (53 + 31 + 11, 31 + 11, 0, 11, 53),
    "outbound udp/53 to 198.51.100.53, 2001:db8:1::53": (23 + 19, 23, 0, 0, 2),
    "loopback tcp/8080": (17, 0, 0, 0, 1),
    "forwarded tcp/8443": (13, 0, 13, 0, 1),
    "inbound icmp/8": (7, 0, 0, 0, 1),
    "inbound icmpv6/128": (5, 0, 0, 0, 1),
    "inbound sctp/2905": (3, 0, 0, 0, 3),
    "inbound gre/0": (2, 0, 0, 0, 2),
    "inbound proto-99/0": (37, 0, 0, 0, 1),
}
"""Service to entries, unreplied, translated, picked up, peers (the 53 web clients include the one picked up)."""


def test_a_known_workload_is_reported_exactly(host: LabHost) -> None:
    """Prime numbers of TCP, UDP, ICMP, SCTP, GRE and unknown protocols, both families, NAT, zones, loopback."""
    addressed(host)
    track(host.name)
    # Nobody resizes the hash meanwhile (K47). To wait for that after the filling might take longer than entries live.
    with global_limits():
        made = fill(host.name, known_workload())
        census = census_of(host)
    found = {str(s.service): (s.entries, s.unreplied, s.translated, s.picked_up, s.peers) for s in census.services}
    assert found == KNOWN
    assert (census.total, KernelFlows(host.name).population()) == (made, made)
    assert next(row.entries for row in census.zones.rows if row.key == "5") == 2
    assert census.remarks == ()


COMPARED = ("src", "dst", "reply_src", "reply_dst", "protocol", "sport", "dport", "reply_sport", "reply_dport", "state",
            "zone", "mark", "family")  # fmt: skip
SHOWN = Status.SEEN_REPLY | Status.ASSURED | Status.SRC_NAT | Status.DST_NAT
"""The status bits that a listing in text tells."""


def rows_of(block: FlowTable) -> Iterator[tuple[object, ...]]:
    """The entries of a block, one tuple each."""
    columns = [getattr(block, name).tolist() for name in COMPARED] + [(block.status & np.uint32(SHOWN)).tolist()]
    for row in zip(*columns, strict=True):
        yield tuple(tuple(value) if isinstance(value, list) else value for value in row)


def test_text_and_netlink_of_one_table_agree(host: LabHost) -> None:
    """The dump's entries are, column by column, those that the kernel's own text shows."""
    addressed(host)
    track(host.name)
    # Nobody resizes the hash between the two readings, or during one of them (K47).
    with global_limits():
        fill(host.name, known_workload())
        with entered(host.name), open("/proc/thread-self/net/nf_conntrack", "rb") as file:
            text = TextTable("nf_conntrack").feed(file.read(), last=True)
        dumped = {row for block in KernelFlows(host.name).blocks(ALL_COLUMNS) for row in rows_of(block)}
    assert dumped == set(rows_of(text))
    assert len(dumped) == len(text)


def test_real_connections_are_counted_from_both_ends() -> None:
    """Seven real TCP connections: seven entries outbound at the client, the same seven inbound at the server."""
    with bridged(["client=2", "server=3"]) as hosts:
        for each in hosts.values():
            track(each.name)
        with entered(hosts["server"].name):
            listener = socket.create_server(("192.168.0.3", 11211), backlog=16)
        open_ends: list[socket.socket] = []
        with entered(hosts["client"].name):
            open_ends += [socket.create_connection(("192.168.0.3", 11211), timeout=5) for _ in range(7)]
        seen = {name: [(str(s.service), s.entries) for s in census_of(h).services if s.service.protocol == 6]
                for name, h in hosts.items()}  # fmt: skip
        for end in (*open_ends, listener):
            end.close()
    assert seen == {
        "client": [("outbound tcp/11211 to 192.168.0.3", 7)],
        "server": [("inbound tcp/11211", 7)],
    }
