"""A uniform specimen of the whole table, entry by entry, in bounded memory: what cannot be counted beforehand (how many
ports one client asks, who shares a port at both ends) is looked up there.

Chosen by a hash of each entry's tuple, so it is the same whatever the order of the listing. A table of up to `MOST`
entries is all there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conntrim.core.census.classify import Classified
from conntrim.core.census.heavy import mixed
from conntrim.core.census.membership import Mask
from conntrim.core.model.flows import U8, U16, U64, FlowTable, joined, table_of

MOST = 1 << 15
"""Entries that are kept at most; never fewer than about half of it of a larger table: shares within 0.9 points."""

FIRST = np.uint64((1 << 64) - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Specimen:
    """Entries of a table of `total`, as columns of one length.

    `flows` has the columns that the reader filled. `path` is an index of `DIRECTIONS`, `kind` of `Kind`, `port` the
    server's port (ICMP: the type), `client_port` the other one; `client` and `server` are uint64[n, 2] as in
    `FlowTable`; `idle` is the class of `IDLE_STEPS`, 31 where the time-out is not known.
    """

    total: int
    flows: FlowTable
    path: U8
    port: U16
    client: U64
    server: U64
    client_port: U16
    state: U8
    idle: U8
    kind: U8
    picked_up: Mask

    def __len__(self) -> int:
        return len(self.path)

    @property
    def weight(self) -> float:
        """Entries of the table that each one here stands for."""
        return self.total / len(self) if len(self) else 1.0


Part = dict[str, npt.NDArray[np.generic]]


class SpecimenTaker:
    """Keeps entries whose hash is below a mark, which is halved whenever they are too many."""

    def __init__(self) -> None:
        self._mark, self._kept = FIRST, 0
        self._flows: list[FlowTable] = []
        self._parts: list[Part] = []
        self._hashes: list[U64] = []

    def add(self, block: FlowTable, seen: Classified, codes: U8, idle: U8) -> None:
        """Offer a block."""
        hashes = _hashes(block)
        columns: Part = {
            "path": (seen.service >> np.uint32(24)).astype(np.uint8), "port": seen.service.astype(np.uint16),
            "state": codes, "idle": idle, "kind": seen.kind, "picked_up": seen.picked_up,
        }  # fmt: skip
        self._take(block, columns, hashes, hashes <= self._mark)
        while self._kept > MOST:
            self._halve()

    def _take(self, block: FlowTable, columns: Part, hashes: U64, chosen: Mask) -> None:
        # By number and not by mask: few of many are taken, from many columns.
        rows = np.flatnonzero(chosen)
        filled = {name: getattr(block, name)[rows] for name in block.columns}
        self._flows.append(table_of(len(rows), block.columns, filled))
        self._parts.append({name: column[rows] for name, column in columns.items()})
        self._hashes.append(hashes[rows])
        self._kept += len(rows)

    def _halve(self) -> None:
        self._mark >>= np.uint64(1)
        kept = zip(self._flows, self._parts, self._hashes, strict=True)
        self._flows, self._parts, self._hashes, self._kept = [], [], [], 0
        for block, columns, hashes in kept:
            self._take(block, columns, hashes, hashes <= self._mark)

    def specimen(self, total: int) -> Specimen:
        """What was kept, of a table of so many entries."""
        flows = joined(self._flows)
        names = self._parts[0] if self._parts else dict.fromkeys(("path", "port", "state", "idle", "kind", "picked_up"))
        columns = {name: np.concatenate([part[name] for part in self._parts] or [EMPTY[name]]) for name in names}
        turned = columns["picked_up"].astype(np.bool_)
        both = turned[:, None]
        return Specimen(
            total=total, flows=flows, path=columns["path"], port=columns["port"],
            client=np.where(both, flows.reply_src, flows.src), server=np.where(both, flows.src, flows.reply_src),
            client_port=np.where(turned, flows.dport, flows.sport), state=columns["state"], idle=columns["idle"],
            kind=columns["kind"], picked_up=turned,
        )  # fmt: skip


EMPTY: Part = {"port": np.empty(0, np.uint16), "picked_up": np.empty(0, np.bool_)} | {
    name: np.empty(0, np.uint8) for name in ("path", "state", "idle", "kind")
}


def _hashes(block: FlowTable) -> U64:
    ports = block.sport.astype(np.uint64) << np.uint64(16) | block.dport
    folded = block.src[:, 0] ^ block.reply_src[:, 0] ^ (block.src[:, 1] << np.uint64(32)) ^ block.reply_src[:, 1]
    hashes: U64 = mixed(mixed(folded) ^ (ports << np.uint64(8) | block.protocol))
    return hashes
