"""Heavy hitters: the clients, servers and pairs that hold most entries, in bounded memory, with a bound of the error.

Misra and Gries' summary, fed with blocks that are counted beforehand: past `MOST` counters all are lowered by the
smallest that has to go, so a count is never too high, and too low by at most the sum of what was taken off, which is
below the entries divided by `MOST`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from conntrim.core.census.classify import Classified
from conntrim.core.census.membership import Ends, Mask
from conntrim.core.census.tally import Counts, Keys, Tally, sum_by
from conntrim.core.model.address import MAPPED, format_address
from conntrim.core.model.census import Breakdown, Row
from conntrim.core.model.flows import U64

MOST = 1 << 14
"""Counters of a summary: 256 KB, and an error below 0.01 % of the table."""

V6_BIT = np.uint64(1 << 63)
"""Set in the key of an IPv6 address, which is a hash of it."""

ODD, OTHER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
"""Odd numbers without a pattern, to scatter bits by multiplication."""

Named = Callable[[int], str]


def mixed(values: U64) -> U64:
    """64-bit numbers scattered over all of them (the finalizer of splitmix64, shortened)."""
    values = values * ODD
    values ^= values >> np.uint64(29)
    values *= OTHER
    values ^= values >> np.uint64(32)
    return values


class Heavy:
    """One summary of 64-bit keys."""

    def __init__(self) -> None:
        self._tally = Tally(1, self._lowered)
        self.low_by = 0

    def add(self, keys: Keys) -> None:
        """Count a block's keys."""
        self._tally.add(keys)

    def items(self) -> tuple[Keys, Counts]:
        """The keys that are left, sorted, and their least counts."""
        return self._tally.items()

    def _lowered(self, keys: Keys, counts: Counts) -> npt.NDArray[np.bool_]:
        """Which keys stay; all counts go down where there are too many."""
        if len(keys) > MOST:
            cut = int(np.partition(counts, -MOST - 1)[-MOST - 1])
            counts -= cut
            self.low_by += cut
        kept: npt.NDArray[np.bool_] = counts > 0
        return kept


class HeavyTally:
    """Clients, servers and pairs of them; each told with how many of its entries never saw a reply."""

    def __init__(self) -> None:
        self._pairs, self._pairs_v6, self._clients, self._servers = Heavy(), Heavy(), Heavy(), Heavy()
        self._total = 0

    def add(self, seen: Classified, unreplied: Mask) -> None:
        """Count a block of one family."""
        self._total += len(unreplied)
        client, server = _folded(seen.client), _folded(seen.server)
        flag = unreplied.astype(np.uint64)
        self._clients.add(client << np.uint64(1) | flag)
        self._servers.add(server << np.uint64(1) | flag)
        if seen.client.v4 is not None:
            self._pairs.add(client << np.uint64(32) | server)
        else:
            self._pairs_v6.add(mixed(client ^ mixed(server)))

    def clients(self, top: int, named: Named) -> Breakdown:
        """The clients with most entries."""
        return self._ends(self._clients, top, named)

    def servers(self, top: int, named: Named) -> Breakdown:
        """The servers with most entries."""
        return self._ends(self._servers, top, named)

    def _ends(self, heavy: Heavy, top: int, named: Named) -> Breakdown:
        keys, counts = heavy.items()
        unreplied = dict(zip((keys[keys & np.uint64(1) == 1] >> np.uint64(1)).tolist(),
                             counts[keys & np.uint64(1) == 1].tolist(), strict=True))  # fmt: skip
        ends, entries = sum_by(keys >> np.uint64(1), counts)
        rows = (Row(named(key), count, unreplied.get(key, 0)) for key, count in _largest(ends, entries, top))
        return self._breakdown(rows, len(ends), 2 * heavy.low_by)

    def pairs(self, top: int, named: Named) -> Breakdown:
        """The pairs with most entries, as `client -> server`; `named` names those of IPv6."""
        (keys, counts), (hashes, more) = self._pairs.items(), self._pairs_v6.items()
        rows = [Row(_pair(key), count) for key, count in _largest(keys, counts, top)]
        rows += [Row(named(key), count) for key, count in _largest(hashes, more, top)]
        low_by = max(self._pairs.low_by, self._pairs_v6.low_by)
        return self._breakdown(sorted(rows, key=lambda row: -row.entries)[:top], len(keys) + len(hashes), low_by)

    def _breakdown(self, rows: Iterable[Row], kept: int, low_by: int) -> Breakdown:
        shown = tuple(row for row in rows if row.key)
        return Breakdown(shown, kept - len(shown), self._total - sum(row.entries for row in shown), low_by)


def _folded(ends: Ends) -> U64:
    """Addresses as 63-bit numbers: IPv4 as it is, IPv6 as a hash."""
    if ends.v4 is not None:
        return ends.v4.astype(np.uint64)
    assert ends.v6 is not None  # one of the two is there
    return mixed(ends.v6[:, 0] ^ mixed(ends.v6[:, 1])) >> np.uint64(2) | V6_BIT >> np.uint64(1)


def busiest(addresses: U64, top: int) -> tuple[str, ...]:
    """Those that occur most often among addresses, uint64[n, 2]; the most frequent first."""
    _, places, counts = np.unique(_folded(Ends(None, addresses)), return_index=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:top]
    return tuple(format_address(high << 64 | low) for high, low in addresses[places[order]].tolist())


def _largest(keys: Keys, counts: Counts, top: int) -> Iterator[tuple[int, int]]:
    order = np.argsort(-counts, kind="stable")[:top]
    yield from zip(keys[order].tolist(), counts[order].tolist(), strict=True)


def names_of(addresses: U64) -> Named:
    """Names of clients and servers by key; those of IPv6 are looked for among these addresses, uint64[n, 2]."""
    v6 = np.unique(addresses[addresses[:, 1] >> np.uint64(32) != 0xFFFF], axis=0)
    known = dict(zip(_folded(Ends(None, v6)).tolist(), v6.tolist(), strict=True)) if len(v6) else {}

    def name(key: int) -> str:
        if key <= 0xFFFFFFFF:
            return format_address(MAPPED | key)
        high, low = known.get(key, (0, 0))
        return format_address(high << 64 | low) if high or low else ""

    return name


def _pair(key: int) -> str:
    return f"{format_address(MAPPED | key >> 32)} -> {format_address(MAPPED | key & 0xFFFFFFFF)}"


def pair_names_of(clients: U64, servers: U64) -> Named:
    """Names of pairs of IPv6 addresses by key, looked for among these, uint64[n, 2] each."""
    chosen = clients[:, 1] >> np.uint64(32) != 0xFFFF
    v6 = np.unique(np.column_stack([clients[chosen], servers[chosen]]), axis=0)
    hashes = mixed(_folded(Ends(None, v6[:, :2])) ^ mixed(_folded(Ends(None, v6[:, 2:])))) if len(v6) else v6[:, 0]
    known = dict(zip(hashes.tolist(), v6.tolist(), strict=True))

    def name(key: int) -> str:
        if key not in known:
            return ""
        first, second, third, fourth = known[key]
        return f"{format_address(first << 64 | second)} -> {format_address(third << 64 | fourth)}"

    return name
