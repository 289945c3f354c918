"""Which entries are stale: exactly those of the untracked services."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from conntrim.core.model.address import family_of, parse_address
from conntrim.core.model.conntrack import Status
from conntrim.core.model.flows import FlowTable, table_of
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import Untrack
from conntrim.core.model.service import Direction
from conntrim.core.model.share import Share
from conntrim.core.rollout.stale import COLUMNS, stale

OURS = Intervals.of(*(parse_address(a) for a in ("192.0.2.1", "127.0.0.1", "2001:db8::1")))
INBOUND = Untrack(Direction.INBOUND, 6, Intervals.of(80, (8000, 8010)))
PINNED = Untrack(Direction.INBOUND, 6, Intervals.of(80), Intervals.of(parse_address("198.51.100.7")))
OUTBOUND = Untrack(Direction.OUTBOUND, 17, Intervals.of(53), Intervals.of(parse_address("203.0.113.53")))


@dataclass(frozen=True)
class Row:
    """One entry."""

    src: str
    dst: str
    sport: int = 40_000
    dport: int = 80
    protocol: int = 6
    zone: int = 0
    status: int = 0


def table(row: Row) -> FlowTable:
    """A table of one entry."""
    ends = {name: parse_address(getattr(row, name)) for name in ("src", "dst")}
    halves = {name: np.array([[a >> 64, a & (1 << 64) - 1]], np.uint64) for name, a in ends.items()}
    ports = {name: np.array([getattr(row, name)], np.uint16) for name in ("sport", "dport", "zone")}
    others: dict[str, Any] = {
        "family": np.array([int(family_of(ends["src"]))], np.uint8),
        "protocol": np.array([row.protocol], np.uint8),
        "status": np.array([row.status], np.uint32),
    }
    return table_of(1, COLUMNS, halves | ports | others)


@pytest.mark.parametrize(
    ("service", "row", "expected"),
    [
        (INBOUND, Row("198.51.100.7", "192.0.2.1"), True),
        (INBOUND, Row("2001:db8::9", "2001:db8::1", dport=8010), True),
        (INBOUND, Row("127.0.0.1", "127.0.0.1"), True),
        (INBOUND, Row("192.0.2.1", "198.51.100.7", 80, 40_000), True),  # picked up mid-stream (K13)
        (replace(INBOUND, keep_lo_tracked=True), Row("127.0.0.1", "127.0.0.1"), False),
        (replace(INBOUND, keep_lo_tracked=True), Row("198.51.100.7", "192.0.2.1"), True),
        (INBOUND, Row("198.51.100.7", "192.0.2.1", dport=8011), False),
        (INBOUND, Row("198.51.100.7", "192.0.2.1", protocol=17), False),
        (INBOUND, Row("192.0.2.1", "198.51.100.7"), False),  # our client, their port 80
        (INBOUND, Row("198.51.100.7", "198.51.100.8"), False),  # forwarded
        (INBOUND, Row("198.51.100.7", "192.0.2.1", zone=3), False),
        (INBOUND, Row("198.51.100.7", "192.0.2.1", status=Status.DST_NAT), False),
        (PINNED, Row("198.51.100.7", "192.0.2.1"), True),
        (PINNED, Row("198.51.100.8", "192.0.2.1"), False),
        (replace(INBOUND, share=Share(4)), Row("198.51.100.31", "192.0.2.1"), True),
        (replace(INBOUND, share=Share(4)), Row("192.0.2.1", "198.51.100.31", 80, 40_000), True),
        (replace(INBOUND, share=Share(4)), Row("2001:db8::f", "2001:db8::1"), True),
        (replace(INBOUND, share=Share(4)), Row("198.51.100.30", "192.0.2.1"), False),
        (OUTBOUND, Row("192.0.2.1", "203.0.113.53", 40_000, 53, 17), True),
        (OUTBOUND, Row("203.0.113.53", "192.0.2.1", 53, 40_000, 17), True),
        (OUTBOUND, Row("192.0.2.1", "203.0.113.54", 40_000, 53, 17), False),
        (OUTBOUND, Row("192.0.2.1", "203.0.113.53", 53, 53, 17), False),  # not an ephemeral port
        (OUTBOUND, Row("198.51.100.7", "203.0.113.53", 40_000, 53, 17), False),
    ],
)
def test_an_entry_is_stale_only_where_the_service_is_untracked(service: Untrack, row: Row, expected: bool) -> None:
    """Direction, protocol, ports, peers, zone and translation all count; either direction of a flow does."""
    assert stale(table(row), [service], OURS, (32_768, 60_999)).tolist() == [expected]
