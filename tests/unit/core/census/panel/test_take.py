"""Panels of made-up tables: what they say is true, and within its bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from conntrim.core.census.panel.follow import NOTHING_LEFT, RESIZED
from conntrim.core.census.panel.take import PanelTaker
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.conntrack import TcpState
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.panel import Frame, Panel, PanelBy
from tests.unit.core.census.flows import HERE
from tests.unit.core.census.panel.made import Made, frames, joined_made, steady

VIEW = Viewpoint(Intervals.of(HERE))
SPAN = (-400.0, 61.0)
Maker = Callable[[np.random.Generator], Made]

SHAPES: dict[str, Maker] = {
    "time_wait and udp": lambda c: joined_made(
        steady(c, 100, 120.0, port=80, span=SPAN), steady(c, 30, 30.0, port=53, span=SPAN)
    ),
    "exponential lives": lambda c: steady(c, 200, c.exponential(20, 5_000), port=80, span=SPAN),
    "short and long": lambda c: joined_made(
        steady(c, 300, 2.0, port=53, span=SPAN), steady(c, 50, 300.0, port=443, span=SPAN)
    ),
    "four lives": lambda c: steady(c, 300, np.array([1.0, 3, 8, 40]), port=80, span=SPAN),
}


def panel_of(made: list[Frame], by: PanelBy = PanelBy.SERVICE) -> Panel:
    """The panel of these frames."""
    taker = PanelTaker(VIEW, by, 10)
    for frame in made:
        taker.add(frame)
    return taker.panel("made")


def held(make: Maker, interval: float, rows: int | None, seed: int) -> tuple[list[bool], list[float], float]:
    """Which bounds of one panel hold; the errors of arrivals of which 2,000 births were seen; and how much of what
    came and went unseen was claimed as certain, to what it was.
    """
    chance = np.random.default_rng(seed)
    made = make(chance)
    times = [interval * turn for turn in range(int(60 / interval) + 1)]
    panel = panel_of(list(frames(made, times, rows, chance)))
    found, errors = [], []
    for row in (panel.total, *panel.rows):
        ours = np.ones(len(made), np.bool_) if row.key == "all" else made.port == int(row.key.split("/")[1])
        came = ours & (made.born > 0) & (made.born <= times[-1])
        went = ours & (made.gone > 0) & (made.gone <= times[-1])
        rate, ends = came.sum() / times[-1], went.sum() / times[-1]
        found += [row.births.low <= rate <= row.births.high, row.deaths.low <= ends <= row.deaths.high]
        lives = (made.gone - made.born)[came]
        found += [each.low <= (lives > each.seconds + 1e-6).mean() <= each.high + 1e-9 for each in row.lifetimes]
        errors += [abs(row.births.value / rate - 1)] * (row.seen_births >= 2_000)
    short = (made.born > 0) & (made.born <= times[-1]) & (made.gone - made.born < interval)
    return found, errors, panel.total.unseen * times[-1] / max(int(short.sum()), 1)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("interval", "rows"), [(4.0, 1_500), (10.0, 2_000), (30.0, None)])
def test_the_bounds_hold(name: str, interval: float, rows: int | None) -> None:
    """Arrivals, ends and shares of lifetimes of 5 panels each, read whole or in part: at least 93 % are within their
    bounds, and what is claimed to have come and gone unseen is no more than did.
    """
    results = [held(SHAPES[name], interval, rows, seed) for seed in range(5)]
    bounds = [ok for found, _, _ in results for ok in found]
    assert np.mean(bounds) >= 0.93
    assert all(claimed <= 1 for _, _, claimed in results)


@pytest.mark.parametrize(
    ("name", "interval"), [("time_wait and udp", 10.0), ("four lives", 5.0), ("short and long", 4.0)]
)
def test_arrivals_are_within_a_twentieth_once_two_thousand_births_were_seen(name: str, interval: float) -> None:
    """Also where half of the entries lived for less than the time between two readings: those that were seen tell by
    the seconds left how many were not.
    """
    errors = [error for seed in range(2) for error in held(SHAPES[name], interval, None, seed)[1]]
    assert errors
    assert max(errors) <= 0.05


def test_entries_pushed_off_the_end_are_no_deaths() -> None:
    """A table that grows by half while its first 500 entries are read: nothing ends, so nothing is said to."""
    chance = np.random.default_rng(1)
    made = joined_made(
        steady(chance, 10, 1e6, port=80, span=(-200, 0)), steady(chance, 100, 1e6, port=443, span=(0, 10))
    )
    panel = panel_of(list(frames(made, [0.0, 5.0, 10.0], 500, chance)))
    assert (panel.total.seen_deaths, panel.total.deaths.value) == (0, 0)
    assert panel.total.births.low <= 100 <= panel.total.births.high


def test_a_resized_hash_begins_a_new_panel() -> None:
    """Another number of buckets, or another order of the entries: the frames before and after are not compared."""
    chance = np.random.default_rng(2)
    made = steady(chance, 50, 1e6, port=80, span=(-200, 20))
    first, second = frames(made, [0.0, 5.0], 400, chance)
    third, fourth = frames(made, [10.0, 15.0], 400, np.random.default_rng(3), buckets=1 << 17)
    panel = panel_of([first, second, third, fourth])
    assert RESIZED in panel.remarks
    assert panel.total.seen_deaths == 0
    assert panel.watched == 10.0
    turned = second.flows.taken(np.arange(len(second.flows))[::-1])
    assert RESIZED in panel_of([first, second, replace(second, seconds=9.0, flows=turned)]).remarks


def test_where_nothing_survives_all_entries_are_births() -> None:
    """Lives of 2 s, 10 s between the readings: each shows other entries, and that is said."""
    chance = np.random.default_rng(4)
    made = steady(chance, 500, 2.0, port=53, span=(-20, 21))
    panel = panel_of(list(frames(made, [0.0, 10.0, 20.0], 300, chance)))
    assert NOTHING_LEFT in panel.remarks
    assert panel.total.births.low <= 500 <= panel.total.births.high
    assert panel.total.unseen > 200


def test_no_silence_longer_than_the_interval_is_missed() -> None:
    """300 connections with a packet every 7 s, read every 2 s for 20 s: each silence is counted, within its bounds."""
    chance = np.random.default_rng(5)
    born = chance.uniform(-100, -50, 300)
    forever = np.full(300, 1e6)
    made = Made(
        born, forever, np.full(300, 1883, np.uint16), np.arange(300), np.full(300, 432_000.0), np.full(300, 7.0)
    )
    panel = panel_of(list(frames(made, [2.0 * turn for turn in range(11)], None, chance)))
    ended = int((np.floor((20 - born) / 7) - np.floor((0 - born) / 7)).sum())
    two, four, eight = panel.total.gaps
    assert two.low <= ended <= two.high <= ended * 1.01
    assert four.low <= ended <= four.high
    assert eight.low == 0
    assert panel.total.longest_gap is not None
    least, most = panel.total.longest_gap
    assert least <= 7 <= (most or 0) <= 9.1


def test_a_timeout_of_another_policy_is_no_silence() -> None:
    """Packets that set 300 s where the settings say 432,000: silences are those between the readings."""
    chance = np.random.default_rng(6)
    born = chance.uniform(-100, -50, 100)
    made = Made(
        born, np.full(100, 1e6), np.full(100, 80, np.uint16), np.arange(100), np.full(100, 300.0), np.full(100, 5.0)
    )
    panel = panel_of(list(frames(made, [2.0 * turn for turn in range(16)], None, chance)))
    assert panel.total.longest_gap is not None
    assert panel.total.longest_gap[0] <= 5


def test_rows_by_client() -> None:
    """The client with most connections stands first, with its own arrivals."""
    chance = np.random.default_rng(7)
    made = joined_made(
        steady(chance, 90, 30.0, port=80, span=(-100, 21), clients=1),
        steady(chance, 10, 30.0, port=80, span=(-100, 21)),
    )
    panel = panel_of(list(frames(made, [0.0, 5.0, 10.0, 15.0, 20.0], None, chance)), PanelBy.CLIENT)
    assert panel.rows[0].key == "203.0.113.0"
    assert panel.rows[0].births.value == pytest.approx(90, rel=0.2)
    assert len(panel.rows) == 10
    assert panel.other_rows > 200


def test_time_wait_tells_when_connections_were_closed() -> None:
    """One frame of entries in TIME_WAIT, 120 s each: 40 a second in the last 30 s, 10 a second before."""
    chance = np.random.default_rng(8)
    made = replace(
        joined_made(
            steady(chance, 40, 120.0, port=80, span=(-30, 0)), steady(chance, 10, 120.0, port=80, span=(-120, -30))
        ),
        state=TcpState.TIME_WAIT,
    )
    panel = panel_of(list(frames(made, [0.0], None, chance)))
    assert len(panel.closings) == 120
    assert sum(panel.closings) == len(made)
    assert np.mean(panel.closings[:30]) == pytest.approx(40, rel=0.1)
    assert np.mean(panel.closings[31:]) == pytest.approx(10, rel=0.2)


def test_an_entry_that_the_dump_repeats_counts_once() -> None:
    """A dump that goes on in the middle of a bucket may show an entry twice."""
    chance = np.random.default_rng(9)
    made = steady(chance, 5, 1e6, port=80, span=(-20, 0))
    first, second = frames(made, [0.0, 1.0], None, chance)
    twice = np.repeat(np.arange(len(second.flows)), 2)
    panel = panel_of([first, replace(second, flows=second.flows.taken(twice))])
    assert (panel.entries, panel.total.seen_births, panel.total.seen_deaths) == (len(made), 0, 0)
