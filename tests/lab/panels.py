"""Panels of made traffic, held against what really happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from conntrim.app.panel import watch_panel
from conntrim.core.model.address import parse_address
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.panel import Frame, Panel, PanelBy, PanelRow
from conntrim.host.frames import KernelFrames
from conntrim.lab.churn import Churn, Shape, Truth
from conntrim.lab.netns import LabHost

VIEW = Viewpoint(Intervals.of(parse_address("192.0.2.18")))


@dataclass(frozen=True)
class Claim:
    """One number of a panel: what it is, the truth, what was said, the bounds, how many births it rests on, and whether
    some of the entries lived no longer than the time between two readings.
    """

    what: str
    truth: float
    value: float
    low: float
    high: float
    births: int
    short: bool = False

    @property
    def holds(self) -> bool:
        """Whether the truth is within the bounds."""
        return self.low - 1e-9 <= self.truth <= self.high + 1e-9

    @property
    def error(self) -> float:
        """The relative error of the value."""
        return abs(self.value / self.truth - 1) if self.truth else 0.0


class Timed(KernelFrames):
    """Remembers when the readings were."""

    def __init__(self, netns: str) -> None:
        super().__init__(netns)
        self.times: list[float] = []

    def read(self, rows: int | None, not_before: float, *, settle: bool = False) -> Frame:
        """See the port."""
        frame = super().read(rows, not_before, settle=settle)
        self.times.append(frame.seconds + frame.took / 2)
        return frame


def watched(
    host: LabHost, shape: Shape, entries: int, *, again: int, every: float, sample: str | int, seed: int = 1
) -> tuple[Panel, list[Claim]]:
    """A panel of made traffic, and its claims."""
    churn, frames = Churn(host.name, shape, entries, seed), Timed(host.name)
    with churn.running():
        panel = watch_panel(frames, VIEW, PanelBy.SERVICE, 10, again=again, every=every, sample=sample)
    return panel, list(claims(panel, churn.truth, frames.times[0], frames.times[-1]))


def claims(panel: Panel, truth: Truth, start: float, end: float) -> Iterator[Claim]:
    """What a panel says that can be held against the truth."""
    for row in (panel.total, *panel.rows):
        port = None if row.key == "all" else int(row.key.rpartition("/")[2])
        born, lives = truth.column(truth.born, port), truth.column(truth.lives, port)
        during = (born > start) & (born <= end)
        came = float(during.sum()) / (end - start)
        yield _claim(f"{row.key} births", came, row, bool((lives[during] <= panel.interval).any()))
        for each in row.lifetimes:
            longer = float((lives[during] > each.seconds).mean()) if during.any() else 0.0
            yield Claim(f"{row.key} live > {each.seconds:g}", longer, each.low, each.low, each.high, row.seen_births)
        spoke, silent = truth.column(truth.spoke, port), truth.column(truth.silent, port)
        ended = silent[(spoke > start) & (spoke <= end)]
        for each in row.gaps:
            number = float((ended > each.seconds).sum())
            yield Claim(f"{row.key} silent > {each.seconds:g}", number, each.low, each.low, each.high, row.seen_births)
        if row.key != "all":
            gone_between = lives[during] < panel.interval
            most = float(gone_between.sum()) / (end - start)
            yield Claim(f"{row.key} unseen", most, row.unseen, row.unseen, np.inf, row.seen_births)


def _claim(what: str, truth: float, row: PanelRow, short: bool) -> Claim:
    births = row.births
    return Claim(what, truth, births.value, births.low, births.high, row.seen_births, short)
