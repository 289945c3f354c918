"""Heavy hitters and the specimen: bounds that hold, whatever comes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from conntrim.app.census import take_census, take_table
from conntrim.core.census.estimate import estimated
from conntrim.core.census.heavy import MOST, Heavy
from conntrim.core.census.specimen import MOST as MOST_KEPT
from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.conntrack import Status, TcpState
from conntrim.core.model.flows import ALL_COLUMNS, FlowTable, table_of
from conntrim.core.model.intervals import Intervals
from tests.fakes.flows import FakeFlows
from tests.unit.core.census.flows import HERE

VIEW = Viewpoint(Intervals.of(HERE))


def forwarded(clients: npt.NDArray[Any], servers: npt.NDArray[Any], **changed: Any) -> FlowTable:
    """TCP entries between these addresses (the lower halves of 128 bits; above 2^32 IPv6's), ports 40000 and up."""
    rows, v4 = len(clients), int(clients.max(initial=0)) < 1 << 32
    high = np.full(rows, 0 if v4 else parse_address("2001:db8::") >> 64, np.uint64)
    low = np.uint64(0xFFFF << 32 if v4 else 0)
    ends = [np.column_stack([high, each.astype(np.uint64) | low]) for each in (clients, servers)]
    filled: dict[str, npt.NDArray[Any]] = {
        "family": np.full(rows, Family.IPV4 if v4 else Family.IPV6, np.uint8),
        "protocol": np.full(rows, 6, np.uint8),
        "src": ends[0], "dst": ends[1], "reply_src": ends[1], "reply_dst": ends[0],
        "sport": (40_000 + np.arange(rows) % 20_000).astype(np.uint16),
        "dport": np.full(rows, 443, np.uint16),
        "state": np.full(rows, TcpState.ESTABLISHED, np.uint8),
        "status": np.full(rows, Status.SEEN_REPLY | Status.ASSURED, np.uint32),
        "timeout": np.full(rows, 431_999, np.uint32),
    }  # fmt: skip
    return table_of(rows, ALL_COLUMNS, filled | changed)


def test_a_summary_is_low_by_no_more_than_it_says() -> None:
    """A stream of 40 blocks, Zipf's law with 300,000 keys: no count is too high, none too low by more than its bound,
    which is below the stream's length divided by the counters.
    """
    chance = np.random.default_rng(5)
    blocks = [(chance.zipf(1.1, 20_000) % 300_000).astype(np.uint64) for _ in range(40)]
    heavy = Heavy()
    for block in blocks:
        heavy.add(block)
    true = np.bincount(np.concatenate(blocks).astype(np.int64), minlength=300_000)
    keys, counts = heavy.items()
    kept = np.zeros(300_000, np.int64)
    kept[keys.astype(np.int64)] = counts
    assert heavy.low_by > 0
    assert heavy.low_by <= 800_000 / MOST
    assert len(keys) <= MOST
    assert (kept <= true).all()
    assert (true - kept <= heavy.low_by).all()


@pytest.mark.parametrize("first", [0x0A000000, 1 << 40])
def test_the_one_client_among_many_stands_first(first: int) -> None:
    """IPv4 and IPv6: one client has 80 % of 100,000 entries, 20,000 others one each; it is named, with its entries."""
    every = np.arange(100_000)
    clients = first + np.where(every % 5 == 0, 1_000 + every, 7)
    table = forwarded(clients, first + 0x1000000 + every % 50_000)
    census = take_census(FakeFlows([table.rows(every // 10_000 == i) for i in range(10)]), VIEW, 20)
    row = census.clients.rows[0]
    assert row.key == ("10.0.0.7" if first < 1 << 32 else "2001:db8::100:0:7")
    assert 80_000 - census.clients.low_by <= row.entries <= 80_000
    for table_of_ends in (census.clients, census.servers, census.pairs):
        assert sum(r.entries for r in table_of_ends.rows) + table_of_ends.other_entries == 100_000


def test_a_small_table_is_all_in_the_specimen() -> None:
    """What fits is there, entry by entry, and each stands for itself."""
    table = forwarded(0x0A000000 + np.arange(1_000), 0x0B000000 + np.arange(1_000))
    specimen = take_table(FakeFlows([table]), VIEW, 20).specimen
    assert (len(specimen), specimen.total, specimen.weight) == (1_000, 1_000, 1.0)


def test_a_large_table_has_a_uniform_specimen() -> None:
    """Sorted by client as a listing may be: of 200,000 entries in blocks the specimen has its size, and the share of
    one tenth of them within four standard deviations.
    """
    every = np.arange(200_000)
    table = forwarded(0x0A000000 + every // 2, 0x0B000000 + every % 1_000)
    blocks = [table.rows(every // 7_000 == i) for i in range(29)]
    specimen = take_table(FakeFlows(blocks), VIEW, 20).specimen
    assert MOST_KEPT / 3 < len(specimen) <= MOST_KEPT
    among = (specimen.client[:, 1] & np.uint64(0xFFFFFFFF)) < 0x0A000000 + 10_000
    assert abs(among.mean() - 0.1) < 4 * (0.1 * 0.9 / len(specimen)) ** 0.5


def test_shares_of_clients_in_a_sample_keep_their_bounds() -> None:
    """A hundred samples of 4,096 of 60,000 entries, of which one client has 30 %: its share is within the bound told in
    at least 95 of them.
    """
    chance, within = np.random.default_rng(7), 0
    clients = 0x0A000000 + np.where(np.arange(60_000) % 10 < 3, 7, 1_000 + np.arange(60_000) % 9_000)
    for _ in range(100):
        drawn = chance.permutation(clients)[:4_608]
        blocks = [forwarded(drawn[at : at + 512], np.full(512, 0x0B000001)) for at in range(0, 4_608, 512)]
        census = take_census(FakeFlows(blocks, population=60_000), VIEW, 20, 4_096)
        assert census.sample is not None
        row = estimated(census).clients.rows[0]
        assert row.key == "10.0.0.7"
        within += abs(100 * row.entries / 60_000 - 30) <= census.sample.bound
    assert within >= 95
