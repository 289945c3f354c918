"""Far ends in bounded memory: the small ones of large services are forgotten, and it is said by how much."""

from __future__ import annotations

import numpy as np

from conntrim.core.census.membership import Ends
from conntrim.core.census.peers import FEW, MOST_PEERS, PeerTally


def add(tally: PeerTally, service: int, *addresses: int, times: int = 1) -> None:
    """So many entries of each of these IPv4 far ends."""
    column = np.repeat(np.array(addresses, np.uint32), times)
    tally.add(np.full(len(column), service, np.uint32), Ends(column, None), np.zeros(len(column), np.bool_))


def test_the_smallest_of_large_services_are_forgotten() -> None:
    """One service has a thousand pairs too many: those go that have one entry, the first of them; small services stay
    whole.
    """
    tally = PeerTally()
    add(tally, 1, *range(FEW))
    add(tally, 2, *range(10), times=4)
    add(tally, 2, *range(MOST_PEERS + 1_000 - FEW))
    found = tally.by_service({1: FEW, 2: FEW})
    assert (found[1].number, found[2].number) == (FEW, MOST_PEERS - FEW)
    assert (tally.complete(1), tally.complete(2), tally.low_by) == (True, False, 1)
    assert [number & 0xFFFFFFFF for number in found[2].few[9:12]] == [9, 1_010, 1_011]
    assert [(row.key, row.entries) for row in tally.breakdown(1).rows] == [("0.0.0.0", 6)]


def test_answered_and_unanswered_entries_of_one_peer_are_one_peer() -> None:
    """The peer of three services, partly unanswered, is one row with the sum of its entries."""
    tally = PeerTally()
    for service in (1, 2, 3):
        unreplied = np.array([True, False, False])
        tally.add(np.full(3, service, np.uint32), Ends(np.array([9, 9, 7], np.uint32), None), unreplied)
        six = np.array([[1, 2], [1, 2], [1, 3]], np.uint64)
        tally.add(np.full(3, service, np.uint32), Ends(None, six), unreplied)
    rows = tally.breakdown(3)
    assert [(row.key, row.entries, row.unreplied) for row in rows.rows] == [
        ("0.0.0.9", 6, 3), ("::1:0:0:0:2", 6, 3), ("0.0.0.7", 3, 0)
    ]  # fmt: skip
    assert (rows.other_rows, rows.other_entries) == (1, 3)
    assert {ends.number for ends in tally.by_service(dict.fromkeys((1, 2, 3), FEW)).values()} == {4}
