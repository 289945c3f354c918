"""What plan asks of a table that is full: a look of some seconds at the counters, with what has expired swept out."""

from __future__ import annotations

from dataclasses import replace

from conntrim.app.plan import Live
from conntrim.core.capacity.refused import LEAST, WATCHED
from conntrim.core.model.facts import Counters, Reading, Refusals
from conntrim.core.model.flows import joined
from conntrim.core.model.panel import Frame
from tests.fakes.facts import HEALTHY, FakeFacts
from tests.fakes.frames import FakeFrames
from tests.fakes.listing import FakeListing

NOW = HEALTHY.seconds
FRAME = Frame(NOW, 0.0, 0.0, 981, joined([]), False, True, 1_024)


def looked(
    count: int, dropped: int, evicted: int = 0, counts: tuple[int, ...] = (900,), ever: int = 0
) -> tuple[Refusals | None, FakeFrames]:
    """What is told of a table of so many entries, 1,000 at most, that refuses so many at the end of a look, and holds
    so many (the last for ever) at each half of a second of it. It has refused `ever` so many before."""
    held = [*counts, *[counts[-1]] * 24]
    lost = [(0, 0), *[(dropped, evicted) if n == 23 else (0, 0) for n in range(24)]]
    readings = [
        Reading(NOW + n / 2, held[n], Counters({"drop": 70 + lost[n][0], "early_drop": lost[n][1]}, "made"))
        for n in range(25)
    ]
    frames = FakeFrames([FRAME] * 30)
    facts = FakeFacts(replace(HEALTHY, count=count, max=1_000, counters=Counters({"drop": ever}, "made")), readings)
    return Live(FakeListing(), facts, lambda _: "", frames).refused(), frames


def test_a_full_table_is_swept_while_it_is_looked_at() -> None:
    """Twice a second: what has expired takes room that arrivals would have (K160)."""
    found, frames = looked(990, 24, 12)
    assert found == Refusals(2.0, 1.0, WATCHED)
    assert frames.asked == [(1, NOW + n / 2, True) for n in range(25)]


def test_a_look_ends_with_the_room() -> None:
    """Once there are enough seconds in which nobody was refused: those that are refused later would not be seen."""
    found, frames = looked(990, 24, counts=(500, *[800] * 14, 960))
    assert (found, len(frames.asked)) == (Refusals(seconds=7.5), 16)
    assert looked(990, 24, counts=(960,))[0] == Refusals(seconds=LEAST)


def test_a_table_that_was_full_refuses_nobody_once_it_is_swept() -> None:
    """It was full all the same, and holds less than arrives in its time. One that had room has what it has."""
    assert looked(990, 0)[0] == Refusals(seconds=WATCHED)
    assert looked(900, 0)[0] is None
    assert looked(900, 6)[0] == Refusals(0.5, 0.0, WATCHED)


def test_a_table_that_has_refused_is_looked_at_from_half_on() -> None:
    """The collector may have come by just now, and half of a full table may have expired."""
    assert looked(500, 0, ever=7)[0] == Refusals(seconds=WATCHED)
    assert looked(490, 0, ever=7)[0] is None


def test_a_table_with_room_is_left_alone() -> None:
    """No sweep, and no seconds spent."""
    found, frames = looked(500, 0)
    assert (found, frames.asked) == (None, [])
