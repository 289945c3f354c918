"""From frames to a `Panel`: what happened in the table as a whole, and with each service or client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from conntrim.core.census.classify import unpack_service
from conntrim.core.census.panel.closings import closings
from conntrim.core.census.panel.estimate import Basis, bounded, doubling, rate, scaled, unseen
from conntrim.core.census.panel.follow import ROUNDING, Follower, Mask, Seen, together
from conntrim.core.census.panel.lifetimes import lifetimes
from conntrim.core.model.address import format_address, format_range
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.flows import U64
from conntrim.core.model.panel import Frame, Longer, Panel, PanelBy, PanelRow

ALL = "all"
Chosen = Callable[[Seen], Mask]


@dataclass(frozen=True, slots=True)
class _All:
    """What happened, all of it or that of one row. `now` are the entries followed at the end, without times."""

    births: Seen
    deaths: Seen
    lives: Seen
    silences: Seen
    now: Seen

    def of(self, chosen: Chosen) -> _All:
        """That of one row."""
        return _All(*(s.at(chosen(s)) for s in (self.births, self.deaths, self.lives, self.silences, self.now)))


class PanelTaker:
    """Takes frames one after the other, then tells what they show; `top` bounds the rows."""

    def __init__(self, viewpoint: Viewpoint, by: PanelBy, top: int) -> None:
        self._viewpoint, self._by, self._top = viewpoint, by, top
        self._follower = Follower(viewpoint)
        self._costs: list[tuple[int, float, float]] = []
        self._remarks: dict[str, None] = {}
        self._incomplete = False
        self._closings: tuple[float, ...] = ()

    @property
    def followed(self) -> int:
        """How many entries are followed now."""
        return self._follower.followed

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        follower = self._follower
        follower.add(frame)
        self._costs.append((len(frame.flows), frame.took, frame.cpu))
        self._remarks |= dict.fromkeys(frame.remarks)
        self._incomplete |= frame.incomplete
        read = follower.share * len(frame.flows) / max(follower.followed, 1)
        self._closings = closings(frame.flows, self._viewpoint.timeouts, min(read, 1.0))

    def panel(self, source: str) -> Panel:
        """What the frames show; at least one was added, and none is after this."""
        follower, rows = self._follower, self._follower.rows
        intervals, events = tuple(follower.intervals), follower.close()
        weights = follower.mean_weights or [1 / follower.share]
        basis = Basis(follower.share, follower.doubt, sum(weights) / len(weights), intervals, follower.blur)
        none = np.zeros(len(rows))
        now = Seen(rows.service, rows.client, none + 1 / follower.share, none, none, none > 0)
        every = _All(
            together(events.births), together(events.deaths), together(events.lives), together(events.silences), now
        )
        groups, others = self._groups(every)
        read, took, cpu = (float(np.mean(column)) for column in zip(*self._costs, strict=True))
        return Panel(
            source=source,
            by=self._by,
            entries=round(float(now.weight.sum())),
            readings=len(self._costs),
            rows_read=round(read),
            share=follower.share,
            watched=basis.watched,
            interval=max(intervals, default=0.0),
            took=took,
            cpu=cpu,
            total=_row(ALL, every, basis),
            rows=tuple(_row(name, every.of(chosen), basis) for name, chosen in groups),
            other_rows=others,
            closings=self._closings,
            local=tuple(format_range(*r) for r in self._viewpoint.local.ranges),
            remarks=(*self._remarks, *follower.remarks),
            incomplete=self._incomplete,
        )

    def _groups(self, every: _All) -> tuple[list[tuple[str, Chosen]], int]:
        """The names of the rows and what belongs to each, those with most births and entries first; and how many more
        there are.
        """
        both = together([every.births, every.now])
        names, counts = (
            np.unique(both.service, return_counts=True)
            if self._by is PanelBy.SERVICE
            else np.unique(both.client, axis=0, return_counts=True)
        )
        order = np.argsort(-counts, kind="stable")[: self._top].tolist()
        return [self._group(names[i]) for i in order], len(counts) - len(order)

    def _group(self, name: U64 | np.uint32) -> tuple[str, Chosen]:
        if self._by is PanelBy.SERVICE:
            return str(unpack_service(int(name))), lambda seen: seen.service == name
        assert not isinstance(name, np.uint32)  # a client's address
        high, low = name.tolist()
        return format_address(high << 64 | low), lambda seen: (seen.client == name).all(axis=1)


def _row(name: str, of: _All, basis: Basis) -> PanelRow:
    """One row of the panel."""
    missed = unseen(of.births, basis)
    births, deaths = bounded(of.births, basis), bounded(of.deaths, basis)
    first, most = max(basis.intervals, default=0.0), births.high + missed.high
    return PanelRow(
        key=name,
        entries=round(float(of.now.weight.sum())),
        seen_births=len(of.births),
        seen_deaths=len(of.deaths),
        births=rate(births, missed, basis.watched),
        deaths=rate(deaths, missed, basis.watched),
        unseen=missed.low / basis.watched if basis.watched else 0.0,
        lifetimes=lifetimes(of.lives, first, basis.watched, births.low / most if most else 1.0),
        gaps=tuple(_gaps(of.silences, basis)),
        longest_gap=_longest(of.silences, noticed(basis)),
    )


def noticed(basis: Basis) -> float:
    """The shortest silence, in seconds, of which none is missed: one that lasts from before a reading to after it, and
    long enough for the packet at its end to show in seconds that are cut to whole ones.
    """
    return max(max(basis.intervals, default=0.0), ROUNDING + 2 * basis.blur)


def _gaps(silences: Seen, basis: Basis) -> Iterator[Longer]:
    """How many silences were longer than the shortest that none is missed of, twice that, and so on."""
    finite = silences.high[np.isfinite(silences.high)]
    last = max(float(silences.low.max(initial=0)), float(finite.max(initial=0)))
    for seconds in doubling(noticed(basis), last):
        shorter, longer = silences.at(silences.low > seconds), silences.at(silences.high > seconds)
        yield Longer(seconds, *scaled(shorter, longer, basis))


def _longest(silences: Seen, first: float) -> tuple[float, float | None] | None:
    """The bounds of the longest silence, None where none was surely longer than the time between two readings."""
    if not (silences.low > first).any():
        return None
    most = float(silences.high.max())
    return float(silences.low.max()), most if np.isfinite(most) else None
