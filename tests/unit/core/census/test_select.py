"""Filters of the census: what each leaves, and what a sample makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from conntrim.app.census import take_census
from conntrim.core.census.estimate import estimated
from conntrim.core.census.select import Selection
from conntrim.core.model.address import parse_prefix
from conntrim.core.model.conntrack import Status, TcpState
from conntrim.core.model.intervals import Intervals
from tests.fakes.flows import FakeFlows
from tests.unit.core.census.test_heavy import VIEW, forwarded

EVERY = np.arange(60)
TABLE = forwarded(
    0x0A000000 + EVERY,
    0x0B000000 + EVERY % 4,
    protocol=np.where(EVERY < 40, 6, 17).astype(np.uint8),
    dport=np.where(EVERY % 2 == 0, 443, 53).astype(np.uint16),
    state=np.where(EVERY < 40, np.where(EVERY < 10, TcpState.TIME_WAIT, TcpState.SYN_SENT), 255).astype(np.uint8),
    status=np.where(EVERY % 3 == 0, 0, Status.SEEN_REPLY).astype(np.uint32),
)
"""Sixty entries of 10.0.0.0 to 10.0.0.59 to four servers: forty TCP, ten in TIME_WAIT; every third unreplied."""


@pytest.mark.parametrize(
    ("selection", "left"),
    [
        (Selection(), 60),
        (Selection(protocol=17), 20),
        (Selection(source=Intervals.of(*range(0xFFFF_0A00_0000, 0xFFFF_0A00_0008))), 8),
        (Selection(destination=Intervals((parse_prefix("11.0.0.1"),))), 15),
        (Selection(sport=(40_005, 40_009)), 5),
        (Selection(dport=(53, 53)), 30),
        (Selection(state="time_wait"), 10),
        (Selection(state="unreplied"), 20),
        (Selection(protocol=6, dport=(443, 443), state="syn_sent"), 15),
    ],
)
def test_each_filter_alone_and_together(selection: Selection, left: int) -> None:
    """Protocol, original addresses and ports, states and status words."""
    assert take_census(FakeFlows([TABLE]), VIEW, 20, "exact", selection).total == left


def test_a_filtered_sample_is_scaled_by_what_was_read() -> None:
    """Of a table of 120,000 entries 6,000 are read and 2,000 of them meant: 40,000 of the whole table."""
    block = forwarded(
        0x0A000000 + np.arange(6_000), np.full(6_000, 0x0B000001), dport=(np.arange(6_000) % 3).astype("u2")
    )
    flows = FakeFlows([block.rows(np.arange(6_000) // 1_000 == i) for i in range(6)], population=120_000)
    census = take_census(flows, VIEW, 20, 6_000, Selection(dport=(1, 1)))
    assert census.total == 2_000
    assert estimated(census).total == 40_000
