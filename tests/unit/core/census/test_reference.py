"""The whole census against a slow reference reader: plain Python over the same bytes, entry by entry."""

from __future__ import annotations

import random
import struct
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from conntrim.app.census import take_census
from conntrim.core.model.address import format_address, parse_address
from conntrim.core.model.census import IDLE_STEPS, Census, Viewpoint
from conntrim.core.model.conntrack import SCTP_STATES, Status, TcpState
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import protocol_name
from tests.fakes.flows import FakeFlows
from tests.unit.core.parse.test_ctnetlink import OPTIONAL, attr, decode, message, reference

HERE = {2: "192.0.2.18", 10: "2001:db8::18"}
ENDS = {
    2: ("192.0.2.18", "127.0.0.1", "224.0.0.1", "198.51.100.7", "198.51.100.8", "203.0.113.9"),
    10: ("2001:db8::18", "::1", "ff02::1", "2001:db8:1::7", "2001:db8:1::8", "2001:db8:2::9"),
}
"""By family: ours, loopback, a group, and others."""

PORTS = (20, 22, 53, 80, 443, 513, 3306, 11211, 32_768, 40_000, 65_535)
PROTOCOLS = (1, 6, 6, 6, 17, 17, 47, 58, 99, 132)
ICMP = (1, 58)
STATUSES = (0, Status.SEEN_REPLY, Status.SEEN_REPLY | Status.ASSURED)
NAT = (0, 0, 0, Status.SRC_NAT, Status.DST_NAT, Status.SRC_NAT | Status.DST_NAT)
VIEW = Viewpoint(
    Intervals.of(*map(parse_address, HERE.values())), timeouts={"nf_conntrack_sctp_timeout_established": 210}
)

UDP, GRE = ("udp unreplied", "udp replied", "udp stream"), ("gre", "gre", "gre stream")
LIMITS = {
    "tcp syn_sent": 120, "tcp syn_recv": 60, "tcp established": 432_000, "tcp fin_wait": 120, "tcp close_wait": 60,
    "tcp last_ack": 30, "tcp time_wait": 120, "tcp close": 10, "tcp syn_sent2": 120, "udp unreplied": 30,
    "udp replied": 30, "udp stream": 120, "icmp": 30, "icmpv6": 30, "gre": 30, "gre stream": 180, "proto-99": 600,
    "sctp established": 210,
}  # fmt: skip
"""State to its time-out; SCTP's are not known where they were not read, and an established connection with no more than
300 seconds left may wait for an acknowledgement.
"""


def some_tuple(chance: random.Random, family: int, protocol: int, src: bytes, dst: bytes) -> bytes:
    """A tuple between two addresses, its ports (or ICMP's id, type and code) drawn."""
    first, proto = (1 if family == 2 else 3), attr(1, bytes([protocol]))
    if protocol in ICMP:
        base = 4 if protocol == 1 else 7
        proto += attr(base, chance.randbytes(2)) + attr(base + 1, bytes([chance.choice((8, 13, 128))]))
        proto += attr(base + 2, bytes([chance.choice((0, 3))]))
    elif protocol != 99:
        proto += b"".join(attr(kind, struct.pack(">H", chance.choice(PORTS))) for kind in (2, 3))
    return attr(1 | 0x8000, attr(first, src) + attr(first + 1, dst)) + attr(2 | 0x8000, proto)


def some_entry(chance: random.Random) -> bytes:
    """An entry of any kind: translated or not, counters, mark, zone, timestamps, labels there or not."""
    family, protocol = chance.choice((2, 10)), chance.choice(PROTOCOLS)
    ends = [packed(chance.choice(ENDS[family]), family) for _ in range(4)]
    status, nat = chance.choice(STATUSES), chance.choice(NAT)
    there, back = (ends[0], ends[1]), (ends[2], ends[3]) if nat else (ends[1], ends[0])
    body = attr(1 | 0x8000, some_tuple(chance, family, protocol, *there))
    body += attr(2 | 0x8000, some_tuple(chance, family, protocol, *back))
    body += attr(3, struct.pack(">I", Status.CONFIRMED | status | nat))
    body += attr(7, struct.pack(">I", chance.choice((1, 25, 100, 119, 300, 431_000))))
    if protocol in (6, 132):
        nested = 1 if protocol == 6 else 3
        body += attr(4 | 0x8000, attr(nested | 0x8000, attr(1, bytes([chance.randrange(1, 9)]))))
    for counters in (9, 10) if chance.random() < 0.5 else ():
        body += attr(counters | 0x8000, attr(1, chance.randbytes(8)) + attr(2, chance.randbytes(8)))
    for kind, size in OPTIONAL:
        if chance.random() < 0.3:
            body += attr(kind, struct.pack(">H", chance.randrange(4)) if kind == 18 else chance.randbytes(size))
    return message(family, body)


def packed(address: str, family: int) -> bytes:
    """An address as the kernel sends it."""
    return parse_address(address).to_bytes(16, "big")[12 if family == 2 else 0 :]


def state_of(row: dict[str, Any]) -> str:
    """The state by name."""
    bits: int = row["status"]
    protocol: int = row["protocol"]
    step = 2 if bits & Status.ASSURED else 1 if bits & Status.SEEN_REPLY else 0
    if protocol == 6:
        return f"tcp {TcpState(row['state']).name.lower()}"
    if protocol == 132:
        return f"sctp {SCTP_STATES[row['state']]}"
    named: dict[int, str] = {17: UDP[step], 47: GRE[step], 1: "icmp", 58: "icmpv6", 99: "proto-99"}
    return named[protocol]


def picked_up(row: dict[str, Any]) -> bool:
    """As the manual page has it: TCP past the handshake, from a server's port to a client's."""
    if row["protocol"] != 6 or row["state"] not in range(TcpState.ESTABLISHED, TcpState.SYN_SENT2):
        return False
    if row["sport"] < 512 and row["sport"] != 20 and row["dport"] >= 1024:
        return True
    return row["sport"] < 32_768 <= row["dport"] and not row["status"] & Status.SEEN_REPLY


def seen(row: dict[str, Any]) -> tuple[tuple[str, int, int], str]:
    """Direction, protocol and port of one entry's service, and its far end."""
    origin, answerer = ((row[name][0] << 64) | row[name][1] for name in ("src", "reply_src"))
    ours = {parse_address(ends[i]) for ends in ENDS.values() for i in (0, 1)}
    groups = {parse_address(ends[2]) for ends in ENDS.values()}
    from_here, port = origin in ours, row["dport"]
    to_here = answerer in ours or (answerer in groups and not from_here)
    if picked_up(row):
        from_here, to_here, origin, answerer, port = to_here, from_here, answerer, origin, row["sport"]
    direction = ("loopback" if to_here else "outbound") if from_here else ("inbound" if to_here else "forwarded")
    if row["protocol"] in ICMP:
        port >>= 8
    service = direction, row["protocol"], 0 if row["protocol"] in (47, 99) else port
    return service, format_address(answerer if from_here else origin)


Told = tuple[Any, ...]


def slow_census(rows: Iterator[dict[str, Any]]) -> Told:
    """All that a census counts, one entry at a time."""
    services: dict[Any, Counter[str]] = defaultdict(Counter)
    idle: Counter[Any] = Counter()
    far_ends: dict[Any, set[str]] = defaultdict(set)
    states, peers, zones = Counter[Any](), Counter[Any](), Counter[Any]()
    for row in rows:
        (service, far), state = seen(row), state_of(row)
        unreplied = not row["status"] & Status.SEEN_REPLY
        counts = services[service]
        counts["entries"] += 1
        counts["unreplied"] += unreplied
        counts["translated"] += bool(row["status"] & (Status.SRC_NAT | Status.DST_NAT))
        counts["picked_up"] += picked_up(row)
        far_ends[service].add(far)
        if state in LIMITS and (state != "tcp established" or row["timeout"] > 300):
            idle[service, state, bisect_right(IDLE_STEPS, max(LIMITS[state] - row["timeout"], 0))] += 1
        for table, key in ((states, state), (peers, far), (zones, str(row["zone"]))):
            table[key, "entries"] += 1
            table[key, "unreplied"] += unreplied
    told = {
        service: (n["entries"], n["unreplied"], n["translated"], n["picked_up"], len(far_ends[service]))
        for service, n in services.items()
    }
    return told, +idle, +states, +peers, +zones


Ends = tuple[Counter[Any], ...]


def slow_ends(rows: Iterator[dict[str, Any]]) -> Ends:
    """Clients, servers, pairs and ports, one entry at a time."""
    found: Ends = (Counter(), Counter(), Counter(), Counter())
    for row in rows:
        client, server = (format_address((row[n][0] << 64) | row[n][1]) for n in ("src", "reply_src"))
        if picked_up(row):
            client, server = server, client
        (_, protocol, port), _ = seen(row)
        keys = client, server, f"{client} -> {server}", f"{protocol_name(protocol)}/{port}"
        for counts, key in zip(found, keys, strict=True):
            counts[key] += 1
    return found


def slow_cells(rows: Iterator[dict[str, Any]]) -> Counter[Any]:
    """The cross table without the idle classes, one entry at a time."""
    found: Counter[Any] = Counter()
    for row in rows:
        (path, protocol, _), status = seen(row)[0], row["status"]
        group = format_address((row["reply_src"][0] << 64) | row["reply_src"][1]) in ("224.0.0.1", "ff02::1")
        turned = picked_up(row)
        found[
            path, protocol, state_of(row), bool(status & Status.SEEN_REPLY), bool(status & Status.ASSURED),
            bool(status & (Status.SRC_NAT | Status.DST_NAT)), "multicast" if group else "unicast", turned,
        ] += 1  # fmt: skip
    return found


def fast_cells(census: Census) -> Counter[Any]:
    """The same of a census."""
    found: Counter[Any] = Counter()
    for c in census.cells:
        found[
            str(c.path), c.protocol, c.state, c.replied, c.assured, c.translated, str(c.kind), c.picked_up
        ] += c.entries  # fmt: skip
    return found


def fast_census(census: Census) -> Told:
    """The same of a census."""
    told = {
        (str(s.service.direction), s.service.protocol, s.service.port):
        (s.entries, s.unreplied, s.translated, s.picked_up, s.peers)
        for s in census.services
    }  # fmt: skip
    idle = Counter({
        ((str(s.service.direction), s.service.protocol, s.service.port), state.state, step): n
        for s in census.services for state in s.states for step, n in enumerate(state.idle)
    })  # fmt: skip
    tables = (
        Counter({(row.key, what): getattr(row, what) for row in table.rows for what in ("entries", "unreplied")})
        for table in (census.states, census.peers, census.zones)
    )
    return told, +idle, *(+table for table in tables)


def test_the_census_of_a_mixed_table_is_that_of_a_slow_reader() -> None:
    """TCP, UDP, ICMP, SCTP, GRE and a protocol without a name, both families, zones, marks, counters, timestamps,
    labels, NAT: every number of the census, from 6,000 entries in four blocks.
    """
    chance = random.Random(11)
    blocks = [b"".join(some_entry(chance) for _ in range(1_500)) for _ in range(4)]
    tables = [table for block in blocks for table in decode(block).tables]
    census = take_census(FakeFlows(tables), VIEW, 10_000)
    expected = slow_census(row for block in blocks for row in reference(block))
    assert fast_census(census) == expected
    assert census.total == 6_000
    tables_of = (census.clients, census.servers, census.pairs, census.ports)
    ends = slow_ends(row for block in blocks for row in reference(block))
    assert tuple(Counter({row.key: row.entries for row in table.rows}) for table in tables_of) == ends
    assert fast_cells(census) == slow_cells(row for block in blocks for row in reference(block))
    directions = {direction for direction, _, _ in expected[0]}
    assert directions == {"loopback", "outbound", "inbound", "forwarded"}
    assert min(sum(n[i] for n in expected[0].values()) for i in range(4)) > 100
