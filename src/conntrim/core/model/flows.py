"""A snapshot of conntrack entries as columns: NumPy arrays of one length, a block of the table or all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class FlowTable:
    """Conntrack entries as columns, one row an entry, all of length n.

    Addresses are uint64[n, 2], high half first, IPv4 in ::ffff:0:0/96 (`address.py`). Ports are host byte order;
    for ICMP and ICMPv6 `sport` holds the id and `dport` holds type << 8 | code. `state` is a `TcpState` for TCP,
    the kernel's number for SCTP and DCCP, `NO_STATE` otherwise. `status` holds `Status` bits, `timeout` the
    seconds left. Counters are zero where the kernel keeps none. `tcp_flags` (of the original direction) and
    `reply_tcp_flags` are `struct nf_ct_tcp_flags`, the flags in the high byte, `scale` and `reply_scale` the window
    scales; `id` tells an entry from a later one with the same tuple (CTA_ID). Only a dump has these.
    `columns` names the columns that the reader filled; the others are zero.
    """

    columns: frozenset[str]
    family: U8
    protocol: U8
    src: U64
    dst: U64
    sport: U16
    dport: U16
    reply_src: U64
    reply_dst: U64
    reply_sport: U16
    reply_dport: U16
    state: U8
    status: U32
    timeout: U32
    mark: U32
    zone: U16
    packets: U64
    bytes: U64
    reply_packets: U64
    reply_bytes: U64
    tcp_flags: U16
    reply_tcp_flags: U16
    scale: U8
    reply_scale: U8
    id: U32

    def __len__(self) -> int:
        return len(self.family)

    def rows(self, chosen: npt.NDArray[np.bool_]) -> FlowTable:
        """The entries that `chosen` says, as a table of their own."""
        return table_of(int(chosen.sum()), self.columns, {name: getattr(self, name)[chosen] for name in self.columns})

    def taken(self, places: npt.NDArray[np.intp]) -> FlowTable:
        """The entries at these places, in their order."""
        return table_of(len(places), self.columns, {name: getattr(self, name)[places] for name in self.columns})


SHAPES: dict[str, tuple[str, int]] = {
    "family": ("u1", 1), "protocol": ("u1", 1),
    "src": ("u8", 2), "dst": ("u8", 2), "sport": ("u2", 1), "dport": ("u2", 1),
    "reply_src": ("u8", 2), "reply_dst": ("u8", 2), "reply_sport": ("u2", 1), "reply_dport": ("u2", 1),
    "state": ("u1", 1), "status": ("u4", 1), "timeout": ("u4", 1), "mark": ("u4", 1), "zone": ("u2", 1),
    "packets": ("u8", 1), "bytes": ("u8", 1), "reply_packets": ("u8", 1), "reply_bytes": ("u8", 1),
    "tcp_flags": ("u2", 1), "reply_tcp_flags": ("u2", 1), "scale": ("u1", 1), "reply_scale": ("u1", 1), "id": ("u4", 1),
}  # fmt: skip
"""Column name to dtype and numbers per row."""

ALL_COLUMNS = frozenset(SHAPES)

ZERO = bytes(8)
"""The one value that columns of zeros point to."""


def zeros(rows: int, column: str) -> npt.NDArray[np.generic]:
    """A column of zeros that takes no memory: what a reader puts where it did not fill one."""
    dtype, width = SHAPES[column]
    shape = (rows,) if width == 1 else (rows, width)
    return np.ndarray(shape, dtype, ZERO, strides=(0,) * len(shape))


def table_of(rows: int, columns: frozenset[str], filled: Mapping[str, npt.NDArray[Any]]) -> FlowTable:
    """A table from the columns that there are; `columns` were asked for, those without values are zero."""
    every: dict[str, Any] = {name: filled[name] if name in filled else zeros(rows, name) for name in SHAPES}
    return FlowTable(columns=columns, **every)


def joined(tables: Sequence[FlowTable]) -> FlowTable:
    """Tables with the same columns, one after the other, as one."""
    if len(tables) == 1:
        return tables[0]
    columns = tables[0].columns if tables else ALL_COLUMNS
    filled = {name: np.concatenate([getattr(table, name) for table in tables]) for name in columns} if tables else {}
    return table_of(sum(map(len, tables)), columns, filled)
