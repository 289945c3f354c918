"""The verb `census --again`: the same part of the table again and again, and what came, went and was silent."""

from __future__ import annotations

from conntrim.app.ports.frames import Frames
from conntrim.core.census.panel.follow import Follower
from conntrim.core.census.panel.silences import silences_of
from conntrim.core.census.panel.take import PanelTaker
from conntrim.core.census.sample import rows_wanted
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.panel import Panel, PanelBy
from conntrim.core.model.silences import Silences

MORE = 1.25
"""A later reading is so much longer than what is followed: entries that came meanwhile push the last ones on."""

SOME_MORE = 1_000


def watch_panel(
    frames: Frames, viewpoint: Viewpoint, by: PanelBy, top: int, *, again: int, every: float, sample: str | int = "auto"
) -> Panel:
    """Read the table's beginning, and `again` so many times, `every` so many seconds; what that shows."""
    taker = PanelTaker(viewpoint, by, top)
    _follow(frames, taker, again=again, every=every, sample=sample)
    return taker.panel(frames.source)


def watch_silences(frames: Frames, viewpoint: Viewpoint, *, again: int, every: float) -> Silences | None:
    """The same readings, and how long the entries of each service were silent; None where there is no reading."""
    follower = Follower(viewpoint)
    _follow(frames, follower, again=again, every=every, sample="auto")
    return silences_of(follower) if follower.begun else None


def _follow(frames: Frames, taker: PanelTaker | Follower, *, again: int, every: float, sample: str | int) -> None:
    wanted = rows_wanted(sample, frames.population())
    frame = frames.read(wanted, 0.0, settle=wanted is not None)
    start = frame.seconds if frame else 0.0
    for turn in range(1, again + 2):
        if frame is None:
            break
        taker.add(frame)
        rows = None if wanted is None else round(taker.followed * MORE) + SOME_MORE
        frame = frames.read(rows, start + turn * every) if turn <= again else None
