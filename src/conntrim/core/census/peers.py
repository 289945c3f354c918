"""Far ends: how many entries each peer holds, and how many peers each service has, in bounded memory.

A flood from made-up addresses has as many far ends as entries. Past `MOST_PEERS` of them the smallest are forgotten,
and the census says so; services with few far ends keep theirs, for rules may be pinned to those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conntrim.core.census.membership import Ends
from conntrim.core.census.tally import Counts, Keys, Tally
from conntrim.core.model.address import MAPPED, format_address
from conntrim.core.model.census import Breakdown, Row
from conntrim.core.model.flows import U32, U64

Numbers = U32 | U64

MOST_PEERS = 1 << 16
"""How many pairs of service and far end are kept of each family: 1.5 MB, and more than anybody reads."""

FEW, NAMED = 16, 1024
"""A service with so few far ends keeps all of them; and the most that are told one by one."""


class PeerTally:
    """Counts of service, far end and whether it ever answered."""

    def __init__(self) -> None:
        self._v4 = Tally(1, lambda keys, counts: self._keep(keys >> np.uint64(33), counts))
        self._v6 = Tally(3, lambda keys, counts: self._keep(keys[:, 0] >> np.uint64(1), counts))
        self._total, self._forgotten, self._lost = 0, 0, set[int]()
        self.low_by = 0
        """By how many entries the count of a peer may be too low, because it was forgotten at times."""

    def add(self, service: U32, far: Ends, unreplied: npt.NDArray[np.bool_]) -> None:
        """Count entries of one family: their service codes and far ends."""
        self._total += len(service)
        meta = service.astype(np.uint64) << np.uint64(1) | unreplied
        if far.v4 is not None:
            self._v4.add(meta << np.uint64(32) | far.v4)
        elif far.v6 is not None:
            self._v6.add(np.column_stack([meta, far.v6]))

    def _keep(self, services: Keys, counts: Counts) -> npt.NDArray[np.bool_]:
        """Which pairs to keep, in the order of their services: all of small services, and the largest."""
        kept = np.ones(len(counts), np.bool_)
        if len(counts) <= MOST_PEERS:
            return kept
        first = np.flatnonzero(np.r_[True, services[1:] != services[:-1]])
        sizes = np.diff(first, append=len(services))
        large = np.repeat(sizes > FEW, sizes)
        spare = min(len(counts) - MOST_PEERS, int(large.sum()))
        if not spare:
            return kept
        limit = np.partition(counts[large], spare - 1)[spare - 1]
        kept[large & (counts < limit)] = False
        # Of those that are as small as the limit, the first.
        kept[np.flatnonzero(large & (counts == limit))[: spare - int((~kept).sum())]] = False
        self.low_by += int(limit)
        self._forgotten += spare
        self._lost.update(services[first[~np.logical_and.reduceat(kept, first)]].tolist())
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
        rows: list[Row] = []
        distinct = 0
        for meta, address, counts in self._columns():
            order, first = _groups(address)
            entries = np.add.reduceat(counts[order], first) if len(first) else counts
            ends = np.append(first, len(order))
            # Groups are in the order of their addresses: a stable sort leaves ties so.
            for i in np.argsort(-entries, kind="stable")[:top].tolist():
                pairs = order[ends[i] : ends[i + 1]]
                unreplied = counts[pairs[meta[pairs] & 1 == 1]].sum()
                (number,) = _numbers(address[pairs[:1]])
                rows.append(Row(format_address(number), int(entries[i]), int(unreplied)))
            distinct += len(first)
        shown = tuple(sorted(rows, key=lambda row: -row.entries)[:top])
        return Breakdown(shown, distinct - len(shown), self._total - sum(row.entries for row in shown))

    def by_service(self, wanted: Mapping[int, int]) -> dict[int, FarEnds]:
        """How many far ends each of the wanted services has, and which, as far as they were kept: so many and one."""
        found = {service: FarEnds(0, ()) for service in wanted}
        for meta, address, _ in self._columns():
            service = meta >> 1
            for code, most in wanted.items():
                chosen = address[slice(*np.searchsorted(service, np.array([code, code + 1], meta.dtype)).tolist())]
                order, first = _groups(chosen)
                before = found[code]
                addresses = (*before.few, *_numbers(chosen[order[first[: most + 1]]]))
                found[code] = FarEnds(before.number + len(first), addresses[: most + 1])
        return found

    def complete(self, service: int) -> bool:
        """Whether no far end of this service was forgotten."""
        return service not in self._lost

    def _columns(self) -> Iterator[tuple[Numbers, Numbers, Counts]]:
        """Service << 1 | unreplied in ascending order, address, entries; by family.

        An IPv4 address is one number, an IPv6 address two, high half first.
        """
        keys, counts = self._v4.items()
        yield (keys >> np.uint64(32)).astype(np.uint32), keys.astype(np.uint32), counts
        keys, counts = self._v6.items()
        yield keys[:, 0], keys[:, 1:], counts


@dataclass(frozen=True, slots=True)
class FarEnds:
    """The distinct far ends of a service: how many, and the addresses of the first."""

    number: int
    few: tuple[int, ...]


def _groups(address: Numbers) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Addresses sorted: their order, and where in it each distinct one starts. They come as a few sorted runs, which a
    stable sort merges.
    """
    order = np.argsort(address, kind="stable") if address.ndim == 1 else np.lexsort((address[:, 1], address[:, 0]))
    address = address[order]
    differs = address[1:] != address[:-1]
    first = np.r_[True, differs if address.ndim == 1 else differs.any(axis=1)]
    return order, np.flatnonzero(first) if len(address) else np.empty(0, np.intp)


def _numbers(address: Numbers) -> list[int]:
    """Addresses as whole numbers, IPv4 in ::ffff:0:0/96."""
    if address.ndim == 1:
        return [MAPPED | low for low in address.tolist()]
    return [high << 64 | low for high, low in address.tolist()]
