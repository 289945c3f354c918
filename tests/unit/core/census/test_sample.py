"""Samples: the stated bounds hold, and an ordered table is noticed."""

from __future__ import annotations

import numpy as np

from conntrim.app.census import ORDERED, take_census
from conntrim.core.census.estimate import estimated
from conntrim.core.census.sample import ROWS, bound, looks_ordered, rows_wanted
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.intervals import Intervals
from tests.fakes.flows import FakeFlows
from tests.unit.core.census.flows import HERE, clients_of

VIEW = Viewpoint(Intervals.of(HERE))


def test_the_stated_bounds_hold_in_a_thousand_samples() -> None:
    """Shares from one half to one in a hundred, samples from a fiftieth to a half: 95 % are promised, 98 % meant: a
    thousand samples are never far below that.
    """
    chance = np.random.default_rng(20_000)
    for share, rows, population in (
        (0.5, 2_000, 100_000),
        (0.1, 1_000, 5_000),
        (0.02, 16_384, 855_360),
        (0.01, 4_000, 8_000),
    ):
        of_kind = int(share * population)
        seen = chance.hypergeometric(of_kind, population - of_kind, rows, 1_000)
        held = [abs(100 * int(n) / rows - 100 * share) <= bound(int(n), rows, population) for n in seen]
        print(
            f"\n1,000 simulated samples of {rows:,} of {population:,}: {np.mean(held):.1%} of {share:.0%} shares within"
        )
        assert np.mean(held) >= 0.975


def test_the_automatic_sample_keeps_its_promise() -> None:
    """Every share within 1 point, however large the table; small tables are read whole."""
    assert bound(ROWS // 2, ROWS, 3_000_000) < 0.92
    assert rows_wanted("auto", 855_360) == ROWS
    assert rows_wanted("auto", 100_000) is None
    assert rows_wanted("exact", 855_360) is None
    assert rows_wanted("auto", None) is None
    assert rows_wanted(5_000, 4_000) is None


def test_shuffled_blocks_pass_and_ordered_ones_do_not() -> None:
    """False alarms in at most 1 of 200 shuffled tables; a table that drifts by a fifth is noticed every time."""
    chance = np.random.default_rng(3)
    shuffled = [[chance.multinomial(2_000, [0.7, 0.2, 0.07, 0.03]) for _ in range(8)] for _ in range(200)]
    drifting = [
        [chance.multinomial(2_000, [0.7 - d, 0.2 + d, 0.07, 0.03]) for d in np.linspace(0, 0.2, 8)] for _ in range(200)
    ]
    assert sum(map(looks_ordered, shuffled)) <= 1
    assert all(map(looks_ordered, drifting))


def test_a_sample_stops_reading_and_adds_up_to_the_whole_table() -> None:
    """Of twenty blocks only those needed are read; the estimates of every table are the population together."""
    chance = np.random.default_rng(5)
    blocks = [clients_of(chance.choice([80, 443, 22], 1_000, p=[0.6, 0.3, 0.1]).tolist()) for _ in range(20)]
    flows = FakeFlows(blocks, population=200_000)
    census = take_census(flows, VIEW, 2, sample=5_000)
    whole = estimated(census)
    assert (flows.handed_out, census.total) == (5, 5_000)
    assert sum(s.entries for s in whole.services) + whole.other_entries == whole.total == 200_000
    assert sum(r.entries for r in whole.peers.rows) + whole.peers.other_entries == 200_000
    assert all(sum(state.entries for state in s.states) == s.entries for s in whole.services)


def test_an_ordered_table_is_read_whole_and_said_so() -> None:
    """Where the first blocks hold other states than the following ones a prefix is no sample."""
    blocks = [clients_of([80] * 1_000, state=3 if i < 3 else 7) for i in range(20)]
    census = take_census(FakeFlows(blocks, population=20_000), VIEW, 5, sample=6_000)
    assert (census.sample, census.total) == (None, 20_000)
    assert ORDERED in census.remarks


def test_a_table_that_changes_by_half_while_it_is_read_is_noticed() -> None:
    """The kernel's own count and the number read must fit together."""
    flows = FakeFlows([clients_of([80] * 1_000)], population=2_000)
    census = take_census(flows, VIEW, 5)
    assert any("held 2,000 before" in remark for remark in census.remarks)
    assert census.incomplete
    census = take_census(FakeFlows([clients_of([80] * 1_000)], population=1_010), VIEW, 5)
    assert (census.remarks, census.incomplete) == ((), False)


def test_a_dump_that_does_not_end_is_left() -> None:
    """Past four times the table and a million entries the rest is not waited for; what was read is marked."""
    block = clients_of([80] * 50_000)
    flows = FakeFlows([block] * 100, population=50_000)
    census = take_census(flows, VIEW, 5)
    assert (flows.handed_out, census.total) == (25, 1_250_000)
    assert any("did not end" in remark for remark in census.remarks)
    assert census.incomplete


def test_an_emptied_stretch_of_the_hash_is_noticed() -> None:
    """Half of one service's entries are gone from a third of the buckets, in nothing else do they differ: every such
    table is read whole, and of twenty without the gap none, or one.
    """
    assert all(noticed(seed, gap=True) for seed in range(10))
    assert sum(noticed(seed, gap=False) for seed in range(20)) <= 1


def noticed(seed: int, *, gap: bool) -> bool:
    """Whether a sample of a table with such a gap in its first third is refused; services differ by their port only."""
    chance = np.random.default_rng(seed)
    ports = chance.choice([80, 443, 8080, 25], 24_000, p=[0.5, 0.3, 0.15, 0.05])
    place = np.arange(len(ports))
    gone = gap & (place < 8_000) & (ports == 443) & (chance.random(len(ports)) < 0.5)
    blocks = [clients_of(part.tolist()) for part in np.array_split(ports[~gone], 24)]
    census = take_census(FakeFlows(blocks, population=100_000), VIEW, 5, sample=16_384)
    return ORDERED in census.remarks
