"""Which entries a confirmed plan has made stale: exactly those of its untracked services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conntrim.core.model.conntrack import Status
from conntrim.core.model.flows import U16, U64, FlowTable
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import Untrack
from conntrim.core.model.service import Direction

COLUMNS = frozenset({"family", "protocol", "src", "dst", "sport", "dport", "zone", "status"})
"""The columns that this needs filled."""
TRANSLATED = Status.SRC_NAT | Status.DST_NAT
LOW = (1 << 64) - 1

Mask = npt.NDArray[np.bool_]


def stale(flows: FlowTable, services: Sequence[Untrack], local: Intervals, local_ports: tuple[int, int]) -> Mask:
    """bool[n]: the entry belongs to one of these services, in either direction.

    A flow that was picked up mid-stream has its directions swapped (K13). A translated entry is never stale, a plan
    untracks no flow that NAT touches; nor is one in a zone, which a template has set (K10).
    """
    plain: Mask = (flows.zone == 0) & ((flows.status & np.uint32(TRANSLATED)) == 0)
    found = np.zeros(len(flows), bool)
    for service in services:
        found |= _belongs(flows, service, local, local_ports)
    return found & plain


def asked_by_source(
    flows: FlowTable, services: Sequence[Untrack], local: Intervals, local_ports: tuple[int, int]
) -> Mask:
    """bool[n]: the flow belongs to one of these services, and its source is the client."""
    found = np.zeros(len(flows), bool)
    for service in services:
        straight = _Flow(flows.src, flows.sport, flows.dst, flows.dport)
        found |= _spoken(flows, service) & _of_service(straight, service, local, local_ports)
    return found


@dataclass(frozen=True, slots=True)
class _Flow:
    """Both ends of each flow, read in one direction."""

    client: U64
    client_port: U16
    server: U64
    port: U16


def _belongs(flows: FlowTable, service: Untrack, local: Intervals, local_ports: tuple[int, int]) -> Mask:
    straight = _Flow(flows.src, flows.sport, flows.dst, flows.dport)
    swapped = _Flow(flows.dst, flows.dport, flows.src, flows.sport)
    either = _of_service(straight, service, local, local_ports) | _of_service(swapped, service, local, local_ports)
    return _spoken(flows, service) & either


def _spoken(flows: FlowTable, service: Untrack) -> Mask:
    """In its protocol and one of its families."""
    right: Mask = (flows.protocol == service.protocol) & np.isin(flows.family, [int(f) for f in service.families()])
    return right


def _of_service(flow: _Flow, service: Untrack, local: Intervals, local_ports: tuple[int, int]) -> Mask:
    right = _within(flow.port, service.ports)
    if service.keep_lo_tracked:
        right &= ~(addresses_within(flow.client, local) & addresses_within(flow.server, local))
    if service.direction is Direction.OUTBOUND:
        here = _within(flow.client_port, Intervals.of(local_ports)) & addresses_within(flow.client, local)
        return right & here & addresses_within(flow.server, service.peers)
    right &= addresses_within(flow.server, local)
    if service.share is not None:
        ones = np.uint64(service.share.ones)
        right &= (flow.client[:, 1] & ones) == ones
    return right & addresses_within(flow.client, service.peers) if service.peers else right


def _within(column: U16, values: Intervals) -> Mask:
    found = np.zeros(len(column), bool)
    for low, high in values.ranges:
        found |= (column >= low) & (column <= high)
    return found


def addresses_within(column: U64, values: Intervals) -> Mask:
    """bool[n]: the address (uint64[n, 2], high half first) is one of `values` (128-bit numbers)."""
    found = np.zeros(len(column), bool)
    high, low = column[:, 0], column[:, 1]
    for first, last in values.ranges:
        above = (high > first >> 64) | ((high == first >> 64) & (low >= first & LOW))
        below = (high < last >> 64) | ((high == last >> 64) & (low <= last & LOW))
        found |= above & below
    return found
