"""Far ends: how many entries each peer holds, and how many peers each service has, in bounded memory.

A flood from made-up addresses has as many far ends as entries. Past `MOST_PEERS` of them the smallest are forgotten,
and the census says so; services with few far ends keep theirs, for rules may be pinned to those.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from conntrim.core.census.tally import Counts, Keys, Tally
from conntrim.core.model.address import MAPPED, format_address
from conntrim.core.model.census import Breakdown, Row
from conntrim.core.model.flows import U32, U64

MOST_PEERS = 1 << 16
"""How many pairs of service and far end are kept of each family: 1.5 MB, and more than anybody reads."""

FEW = 16
"""A service with so few far ends keeps all of them."""


class PeerTally:
    """Counts of service, far end and whether it ever answered."""

    def __init__(self) -> None:
        self._v4 = Tally(1, lambda keys, counts: self._keep(keys >> np.uint64(33), counts))
        self._v6 = Tally(3, lambda keys, counts: self._keep(keys[:, 0] >> np.uint64(1), counts))
        self._total, self._forgotten, self._lost = 0, 0, set[int]()
        self.low_by = 0
        """By how many entries the count of a peer may be too low, because it was forgotten at times."""

    def add(self, service: U32, far: U64, unreplied: npt.NDArray[np.bool_]) -> None:
        """Count a block: service codes, far ends uint64[n, 2]."""
        self._total += len(service)
        meta = service.astype(np.uint64) << np.uint64(1) | unreplied
        mapped = (far[:, 0] == 0) & (far[:, 1] >> np.uint64(32) == MAPPED >> 32)
        if mapped.all():
            self._v4.add(meta << np.uint64(32) | far[:, 1] & np.uint64(0xFFFFFFFF))
            return
        self._v4.add(meta[mapped] << np.uint64(32) | far[mapped, 1] & np.uint64(0xFFFFFFFF))
        self._v6.add(np.column_stack([meta[~mapped], far[~mapped]]))

    def _keep(self, services: Keys, counts: Counts) -> npt.NDArray[np.bool_]:
        """Which pairs to keep: all of small services, and the largest."""
        kept = np.ones(len(counts), np.bool_)
        if len(counts) <= MOST_PEERS:
            return kept
        _, which, sizes = np.unique(services, return_inverse=True, return_counts=True)
        dispensable = np.flatnonzero(sizes[which] > FEW)
        spare = min(len(counts) - MOST_PEERS, len(dispensable))
        smallest = dispensable[np.argsort(counts[dispensable], kind="stable")[:spare]]
        kept[smallest] = False
        if len(smallest):
            self.low_by += int(counts[smallest].max())
            self._forgotten += len(smallest)
            self._lost.update(np.unique(services[smallest]).tolist())
        return kept

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was forgotten, in words."""
        if not self._forgotten:
            return ()
        return (
            f"more far ends than the {MOST_PEERS:,} kept: the numbers of peers are lower bounds,"
            f" and the entries of one peer may be low by up to {self.low_by:,}",
        )

    def breakdown(self, top: int) -> Breakdown:
        """The largest peers; the rest is what the total leaves."""
        rows: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        for _, unreplied, address, count in self._rows():
            rows[address][0] += count
            rows[address][1] += count * unreplied
        largest = sorted(rows, key=lambda a: (-rows[a][0], a))[:top]
        shown = tuple(Row(format_address(a), *rows[a]) for a in largest)
        return Breakdown(shown, len(rows) - len(shown), self._total - sum(row.entries for row in shown))

    def by_service(self, wanted: set[int]) -> dict[int, list[int]]:
        """The far ends' addresses of each of the wanted services, as far as they were kept."""
        found: dict[int, dict[int, None]] = {service: {} for service in wanted}
        for service, _, address, _ in self._rows():
            if service in found:
                found[service][address] = None
        return {service: list(addresses) for service, addresses in found.items()}

    def complete(self, service: int) -> bool:
        """Whether no far end of this service was forgotten."""
        return service not in self._lost

    def _rows(self) -> list[tuple[int, int, int, int]]:
        """Service, unreplied, address, entries."""
        keys, counts = self._v4.items()
        rows = [
            (k >> 33, k >> 32 & 1, MAPPED | k & 0xFFFFFFFF, n)
            for k, n in zip(keys.tolist(), counts.tolist(), strict=True)
        ]
        keys, counts = self._v6.items()
        for (meta, high, low), n in zip(keys.tolist(), counts.tolist(), strict=True):
            rows.append((meta >> 1, meta & 1, high << 64 | low, n))
        return rows
