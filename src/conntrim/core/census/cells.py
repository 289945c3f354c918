"""The key by which entries are counted: service, state, idle class and flags in one number; and from it the cross table
of the whole conntrack table, without addresses and ports.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict

import numpy as np

from conntrim.core.census.classify import DIRECTIONS, Classified
from conntrim.core.census.membership import Mask
from conntrim.core.census.states import state_name
from conntrim.core.census.tally import Counts, Keys, sum_by
from conntrim.core.model.census import IDLE_EDGES, IDLE_STEPS, Cell, Kind
from conntrim.core.model.conntrack import Status, TcpSeen
from conntrim.core.model.flows import U8, FlowTable

SERVICE_AT, STATE_AT, IDLE_AT = 24, 16, 11
"""service (26 bits) << 24 | state code << 16 | idle class << 11 | flags."""

UNREPLIED, TRANSLATED, PICKED_UP, ASSURED, OFFLOADED, KIND_AT, UNACKNOWLEDGED, LIBERAL = 1, 2, 4, 8, 16, 5, 128, 256
ODD_PORT, REDIRECTED = 512, 1024
"""Flags of a key; two bits from `KIND_AT` on are the destination's kind. The last two are no matter to cells."""

NO_CLASS = 31
"""The idle class, in a key, of an entry whose time-out is not known."""

KINDS = tuple(Kind)
OFFLOAD = Status.OFFLOAD | Status.HW_OFFLOAD | Status.FIXED_TIMEOUT
NAT = Status.SRC_NAT | Status.DST_NAT
BITS = (
    (Status.SEEN_REPLY, True, UNREPLIED), (NAT, False, TRANSLATED), (Status.ASSURED, False, ASSURED),
    (OFFLOAD, False, OFFLOADED), (Status.DST_NAT, False, REDIRECTED),
)  # fmt: skip
"""Status bits, whether it is their absence that counts, and the flag."""

FLAGS_OF = np.zeros(1 << 16, np.uint16)
"""The flags that the status bits alone tell; status has sixteen bits."""
for _bits, _absent, _flag in BITS:
    FLAGS_OF[(np.arange(1 << 16) & int(_bits) == 0) == _absent] |= np.uint16(_flag)

COARSE = tuple(bisect_right(IDLE_EDGES, (0, *IDLE_STEPS)[step]) - 1 for step in range(len(IDLE_STEPS) + 1))
"""Class of `IDLE_STEPS` to class of `IDLE_EDGES`."""


def unacknowledged(block: FlowTable) -> Mask:
    """Connections of which one end sent data that the other has not acknowledged; none of a listing shows it."""
    found: Mask = ((block.tcp_flags | block.reply_tcp_flags) & np.uint16(TcpSeen.DATA_UNACKNOWLEDGED << 8)) != 0
    return found


def liberal(block: FlowTable) -> Mask:
    """Connections whose windows are not checked, both ways (K156)."""
    found: Mask = (block.tcp_flags & block.reply_tcp_flags & np.uint16(TcpSeen.BE_LIBERAL << 8)) != 0
    return found


def seen_midway(block: FlowTable) -> Mask:
    """Those of them of which no window scale was seen: picked up in the middle. A flag set later leaves the scales."""
    scaled = (block.tcp_flags | block.reply_tcp_flags) & np.uint16(TcpSeen.WINDOW_SCALE << 8)
    found: Mask = liberal(block) & (scaled == 0)
    return found


def packed(block: FlowTable, seen: Classified, codes: U8, idle: U8) -> Keys:
    """The keys of a block."""
    low = FLAGS_OF[block.status & np.uint32(0xFFFF)].astype(np.uint32)
    low |= unacknowledged(block) * np.uint32(UNACKNOWLEDGED) | liberal(block) * np.uint32(LIBERAL)
    low |= seen.odd_port.view(np.uint8) * np.uint32(ODD_PORT)
    low |= seen.picked_up.view(np.uint8) * np.uint32(PICKED_UP) | seen.kind.astype(np.uint32) << np.uint32(KIND_AT)
    low |= codes.astype(np.uint32) << np.uint32(STATE_AT) | idle.astype(np.uint32) << np.uint32(IDLE_AT)
    keys: Keys = seen.service.astype(np.uint64) << np.uint64(SERVICE_AT) | low
    return keys


def idle_class(key: int) -> int:
    """The class of `IDLE_STEPS` of a key, or `NO_CLASS`."""
    return key >> IDLE_AT & 0x1F


def cells(keys: Keys, counts: Counts) -> tuple[Cell, ...]:
    """The cross table, the fullest cell first."""
    told = np.uint64(((1 << SERVICE_AT) - 1) & ~(ODD_PORT | REDIRECTED))
    without_port = keys >> np.uint64(SERVICE_AT + 16) << np.uint64(SERVICE_AT) | keys & told
    found: dict[tuple[int, int | None], int] = defaultdict(int)
    for key, count in zip(*(part.tolist() for part in sum_by(without_port, counts)), strict=True):
        step = idle_class(key)
        idle = None if step == NO_CLASS else IDLE_EDGES[COARSE[step]]
        found[key & ~(0x1F << IDLE_AT), idle] += count
    rows = (_cell(key, idle, count) for (key, idle), count in found.items())
    return tuple(sorted(rows, key=lambda cell: -cell.entries))


def _cell(key: int, idle: int | None, entries: int) -> Cell:
    protocol = key >> SERVICE_AT & 0xFF
    return Cell(
        path=DIRECTIONS[key >> SERVICE_AT + 8],
        protocol=protocol,
        state=state_name(protocol, key >> STATE_AT & 0xFF),
        replied=not key & UNREPLIED,
        assured=bool(key & ASSURED),
        translated=bool(key & TRANSLATED),
        kind=KINDS[key >> KIND_AT & 3],
        picked_up=bool(key & PICKED_UP),
        offloaded=bool(key & OFFLOADED),
        unacknowledged=bool(key & UNACKNOWLEDGED),
        liberal=bool(key & LIBERAL),
        idle=idle,
        entries=entries,
    )
