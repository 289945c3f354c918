"""The readings of a panel: how many, when, and how long."""

from __future__ import annotations

import numpy as np

from conntrim.app.panel import watch_panel
from conntrim.core.census.sample import ROWS
from conntrim.core.model.panel import PanelBy
from conntrim.render.panel import panel_text
from tests.fakes.frames import FakeFrames
from tests.unit.core.census.panel.made import frames, steady
from tests.unit.core.census.panel.test_take import VIEW


def test_later_readings_are_on_time_and_a_quarter_longer_than_what_is_followed() -> None:
    """A large table is read in part, after expired entries were swept out; readings follow the first one's clock."""
    chance = np.random.default_rng(1)
    made = steady(chance, 1_500, 120.0, port=80, span=(-200, 11))
    fake = FakeFrames(list(frames(made, [5.0, 7.0, 9.0], ROWS, chance)))
    panel = watch_panel(fake, VIEW, PanelBy.SERVICE, 5, again=2, every=2.0)
    assert [(at, settle) for _, at, settle in fake.asked] == [(0.0, True), (7.0, False), (9.0, False)]
    first, *later = [rows for rows, _, _ in fake.asked]
    assert first == ROWS
    assert all(rows is not None and ROWS < rows <= 1.25 * ROWS + 1_000 for rows in later)
    assert (panel.readings, panel.watched) == (3, 4.0)


def test_a_small_table_is_read_whole() -> None:
    """Nothing is swept or scaled: what was born was counted."""
    chance = np.random.default_rng(2)
    made = steady(chance, 10, 120.0, port=80, span=(-200, 11))
    fake = FakeFrames(list(frames(made, [0.0, 10.0], None, chance)))
    panel = watch_panel(fake, VIEW, PanelBy.SERVICE, 5, again=1, every=10.0)
    assert fake.asked == [(None, 0.0, False), (None, 10.0, False)]
    came = int(((made.born > 0) & (made.born <= 10)).sum())
    assert (panel.share, panel.total.births.value) == (1.0, came / 10)


def test_readings_that_end_early_are_told_as_they_are() -> None:
    """A saved panel has no more frames than it has: one of them tells nothing of arrivals."""
    chance = np.random.default_rng(3)
    made = steady(chance, 10, 120.0, port=80, span=(-200, 11))
    panel = watch_panel(FakeFrames(list(frames(made, [0.0], None, chance))), VIEW, PanelBy.SERVICE, 5, again=5, every=1)
    assert panel.readings == 1
    told = "1,147 entries; one reading only: nothing is known of what comes and goes"
    assert panel_text(panel).splitlines()[0] == told


TEXT = """\
1,288 entries; 10.9 come and 9.7 go a second
fake, all of it followed for 20.0 s: 5 readings of 1,268 entries, 10 ms and 10
  ms of processor time each

    come/s         95 % bounds       go/s  service
      10.9         10.9 - 12.1        9.7  inbound tcp/80
            of those that came live > 5 s 88-100%, > 10 s 87-100%
      10.9         10.9 - 12.1        9.7  all
            of those that came live > 5 s 88-100%, > 10 s 87-100%
"""


def test_the_text_of_a_panel() -> None:
    """The answer first, no line longer than 79 columns, the whole transcript of a quiet server."""
    chance = np.random.default_rng(4)
    made = steady(chance, 10, 120.0, port=80, span=(-200, 21))
    fake = FakeFrames(list(frames(made, [0.0, 5.0, 10.0, 15.0, 20.0], None, chance)))
    text = panel_text(watch_panel(fake, VIEW, PanelBy.SERVICE, 5, again=4, every=5.0))
    assert text == TEXT
    assert max(map(len, text.splitlines())) < 80
