"""Counting blocks: what is bounded, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conntrim.core.census import peers
from conntrim.core.census.infer import infer_viewpoint
from conntrim.core.census.take import CensusTaker
from conntrim.core.model.address import parse_address
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.intervals import Intervals
from tests.unit.core.census.flows import HERE, clients_of


def test_a_flood_of_peers_is_bounded_and_the_census_says_so() -> None:
    """300,000 clients with an entry each: the total is exact, the number of peers a lower bound, with a note."""
    taker = CensusTaker(Viewpoint(Intervals.of(HERE)), 5)
    for i in range(30):
        taker.add(clients_of([80] * 10_000, first=f"10.{i}.0.0"))
    for _ in range(3):
        taker.add(clients_of([22] * 2, first="203.0.113.1"))
    census = taker.census("flood")
    web, ssh = census.services
    assert (census.total, web.entries, ssh.entries, ssh.peers) == (300_006, 300_000, 6, 2)
    assert peers.MOST_PEERS // 2 <= web.peers <= 300_000
    assert census.peers.rows[0].entries == 3
    assert sum(row.entries for row in census.peers.rows) + census.peers.other_entries == 300_006
    assert any("lower bounds" in remark for remark in census.remarks)


def test_who_waits_for_an_acknowledgement_runs_on_the_shorter_time_out() -> None:
    """K155: of 200 established entries with 100 s left those with the flag have been idle for 200 s, the others may run
    on the shorter time-out or have been idle for days; a listing, which has no flags, tells nothing of any.
    """
    flows = clients_of([443] * 200)
    flows = replace(flows, timeout=np.full(200, 100, np.uint32))
    listing, dump = (CensusTaker(Viewpoint(Intervals.of(HERE)), 5) for _ in range(2))
    listing.add(flows)
    flags, reply = np.full(200, 0x2000, np.uint16), np.zeros(200, np.uint16)
    flags[:70] = 0x3000
    reply[50:90] = 0x0800
    flags[80:90] |= 0x0800
    dump.add(replace(flows, tcp_flags=flags, reply_tcp_flags=reply))
    told = {(cell.idle, cell.unacknowledged, cell.liberal): cell.entries for cell in dump.census("dump").cells}
    assert told == {(60, True, False): 70, (None, False, False): 120, (None, False, True): 10}
    assert [(cell.idle, cell.entries) for cell in listing.census("listing").cells] == [(None, 200)]
    assert (dump.census("dump").flagged, listing.census("listing").flagged) == (True, False)


@pytest.mark.parametrize("split", [1, 7, 1_000])
def test_blocks_may_be_cut_anywhere(split: int) -> None:
    """A census does not depend on how the table arrives."""
    ports = np.random.default_rng(1).integers(1, 2_000, 3_000).tolist()
    whole, parts = (CensusTaker(Viewpoint(Intervals.of(HERE)), 50) for _ in range(2))
    whole.add(clients_of(ports))
    table = clients_of(ports)
    for start in range(0, len(ports), split * 10):
        chosen = np.zeros(len(ports), np.bool_)
        chosen[start : start + split * 10] = True
        parts.add(table.rows(chosen))
    assert whole.census("x") == parts.census("x")


def test_the_host_is_the_one_that_takes_part_in_everything() -> None:
    """Many clients, one server: the server; without entries, nobody."""
    assert infer_viewpoint([clients_of([80] * 100)]).local == Intervals.of(HERE)
    assert infer_viewpoint([]).local == Intervals()


def test_a_host_with_two_addresses_has_both_inferred() -> None:
    """Sixty entries end at one address, forty at another."""
    other = clients_of([80] * 40, first="198.51.100.0")
    other.dst[:, 1] += np.uint64(1)
    other.reply_src[:, 1] += np.uint64(1)
    assert infer_viewpoint([clients_of([80] * 60), other]).local == Intervals.of(HERE, HERE + 1)


def test_many_local_ranges_are_searched_as_well_as_few() -> None:
    """With forty addresses of its own the host is found by binary search, with the same result."""
    many = Intervals.of(*(parse_address("10.9.0.0") + 2 * i for i in range(40)), HERE)
    taker = CensusTaker(Viewpoint(many), 5)
    taker.add(clients_of([80, 80, 443]))
    assert [str(s.service) for s in taker.census("x").services] == ["inbound tcp/80", "inbound tcp/443"]
