"""Made-up flow tables for tests of the census."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.conntrack import Status, TcpState
from conntrim.core.model.flows import ALL_COLUMNS, FlowTable, table_of

HERE = parse_address("192.0.2.18")
"""The address that the tests take as the host's own."""


def clients_of(ports: list[int], *, state: int = TcpState.ESTABLISHED, first: str = "203.0.113.0") -> FlowTable:
    """One inbound TCP entry for each server port in the list, each from an address of its own."""
    rows = len(ports)
    far = parse_address(first) + np.arange(rows)
    ours = np.full(rows, HERE)
    none = np.zeros(rows, np.uint64)
    filled: dict[str, npt.NDArray[Any]] = {
        "family": np.full(rows, Family.IPV4, np.uint8),
        "protocol": np.full(rows, 6, np.uint8),
        "src": np.column_stack([none, far.astype(np.uint64)]),
        "dst": np.column_stack([none, ours.astype(np.uint64)]),
        "reply_src": np.column_stack([none, ours.astype(np.uint64)]),
        "reply_dst": np.column_stack([none, far.astype(np.uint64)]),
        "sport": np.full(rows, 40_000, np.uint16),
        "dport": np.array(ports, np.uint16),
        "state": np.full(rows, state, np.uint8),
        "status": np.full(rows, Status.SEEN_REPLY | Status.ASSURED, np.uint32),
        "timeout": np.full(rows, 100, np.uint32),
    }
    return table_of(rows, ALL_COLUMNS, filled)
