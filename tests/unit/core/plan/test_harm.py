"""What a new time-out would cut, from silences that were seen; and when that is not known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from conntrim.app.panel import watch_silences
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.panel import Frame
from conntrim.core.model.policy import ServiceTimeout
from conntrim.core.model.service import Direction, Service
from conntrim.core.model.silences import Silences, Silent
from conntrim.core.plan.harm import harm, most_expected
from tests.fakes.frames import FakeFrames
from tests.unit.core.census.panel.made import Made, frames, joined_made, steady
from tests.unit.core.census.panel.test_take import VIEW

WEB = ServiceTimeout(Direction.INBOUND, 6, Intervals.of(80), {"established": 600})
SEEN = Silent(Service(Direction.INBOUND, 6, 80), 1_000, np.array([5.0, 599.0, 600.0, 601.0, np.inf]))
LOOKED = Silences(900.0, 6.0, 1.0, 0.0, (SEEN,))


def test_silences_longer_than_the_time_out_are_counted_those_of_unknown_length_too() -> None:
    """Two of five in a quarter of an hour: at 95 % fewer than 6.3 are to be expected, four times that an hour."""
    (found,) = harm([WEB], LOOKED)
    assert (found.cut, found.entries, found.seconds, found.watched) == (2, 1_000, 600, 900.0)
    assert found.most_per_hour == pytest.approx(25.2, abs=0.2)


def test_of_none_three_are_expected_and_a_part_stands_for_the_whole() -> None:
    """The rule of three, times what one followed entry stands for, and more where that is itself uncertain."""
    none = replace(LOOKED, services=(replace(SEEN, gaps=np.array([5.0])),))
    assert [h.most_per_hour for h in harm([WEB], none)] == [12.0]
    assert [h.most_per_hour for h in harm([WEB], replace(none, weight=10.0))] == [120.0]
    (doubted,) = harm([WEB], replace(none, weight=10.0, doubt=0.01))
    assert doubted.most_per_hour == pytest.approx(139.7, abs=0.1)


OTHER = replace(SEEN, service=Service(Direction.INBOUND, 6, 81))
NOT_KNOWN = {
    "nobody looked": (None, "was not observed"),
    "one reading": (replace(LOOKED, watched=0.0), "none of them was observed"),
    "another service": (replace(LOOKED, services=(OTHER,)), "none of them was observed"),
    "readings too far apart": (replace(LOOKED, noticed=600.0), "silences below 600 s are missed; --every 300"),
}


@pytest.mark.parametrize("name", NOT_KNOWN)
def test_what_was_not_observed_is_not_known(name: str) -> None:
    """No number at all: nothing seen is not the same as nobody looking."""
    silences, words = NOT_KNOWN[name]
    (found,) = harm([WEB], silences)
    assert (found.cut, found.most_per_hour) == (None, None)
    assert words in found.words


def test_a_time_out_of_connections_that_end_cuts_none_that_goes_on() -> None:
    """TIME_WAIT alone shortened: nothing is asked."""
    (found,) = harm([replace(WEB, seconds={"time_wait": 7})], LOOKED)
    assert (found.seconds, found.cut) == (None, None)
    assert "being opened or closed" in found.words


@pytest.mark.parametrize("counted", [0, 1, 5, 50])
def test_the_bound_is_the_poisson_bound(counted: int) -> None:
    """A mean as large as the bound gives so few in about one of twenty cases."""
    chance = np.random.default_rng(5)
    assert (chance.poisson(most_expected(counted), 200_000) <= counted).mean() == pytest.approx(0.05, abs=0.004)


def talking(every: float) -> Iterator[Frame]:
    """100 established connections to port 80 that send so often, and as many to 443 every 4 s, followed for 2 min."""
    chance = np.random.default_rng(6)
    span = (-2 * every, -every)

    def made(port: int, often: float) -> Made:
        return steady(chance, 100 / every, 90_000.0, port=port, span=span, timeout=432_000.0, every=often)

    return frames(joined_made(made(80, every), made(443, 4.0)), [5.0 * n for n in range(25)], None, chance)


@pytest.mark.parametrize("every", [700.0, 2_500.0])
def test_readings_tell_it_as_it_is(every: float) -> None:
    """Pools that speak every 700 s are cut by 600 s as often as they speak, below the bound. Two minutes tell of
    silences of ten, by the time left of each entry."""
    (found,) = harm([WEB], watch_silences(FakeFrames(list(talking(every))), VIEW, again=24, every=5.0))
    assert found.cut is not None
    assert found.most_per_hour is not None
    assert found.entries is not None
    real = found.entries / every
    assert real * 120 / 3 < found.cut < real * 120 * 3
    assert found.most_per_hour > real * 3_600


def test_pools_that_speak_in_time_are_not_cut() -> None:
    """Every 500 s against 600 s: not one."""
    (found,) = harm([WEB], watch_silences(FakeFrames(list(talking(500.0))), VIEW, again=24, every=5.0))
    assert (found.cut, found.most_per_hour) == (0, 90.0)
