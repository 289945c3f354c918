"""Following entries from frame to frame: who came, who went, and who was silent for how long.

A dump lists entries in the order of a hash whose key stays until boot, so its beginning shows the same entries again.
Two frames are compared up to the last entry that both hold: behind it nobody knows whether an entry went or was only
pushed off the end. What is followed so can only become less; `share` says which part of the table it still is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

from conntrim.core.census.panel.reading import Floats, Places, Reader, Rows
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.flows import U32, U64
from conntrim.core.model.panel import Frame

Mask = npt.NDArray[np.bool_]

ROUNDING = 1.5
"""Seconds by which the time left may seem to differ from a clock without a packet: both readings are cut to seconds."""

DISORDER = 0.01
"""Share of the entries that both frames hold which may stand in another order: the hash is another one beyond it."""

RESIZED = "the hash table was resized or its order changed between two readings: from there on a new part was followed"
NOTHING_LEFT = "no entry outlived the time between two readings: shorter ones (--every) tell more"


@dataclass(frozen=True, slots=True)
class Seen:
    """Entries to which something happened, all columns of one length.

    `service` and `client` as in `Rows`; `weight` is how many entries of the whole table each stands for. `low` and
    `high` bound what is told of it in seconds: a lifetime, a silence; of a birth the seconds left of its time-out, and
    the time since the reading before. `ended` is False where a life went on after the last reading.
    """

    service: U32
    client: U64
    weight: Floats
    low: Floats
    high: Floats
    ended: Mask

    def __len__(self) -> int:
        return len(self.service)

    def at(self, where: Mask) -> Seen:
        """Some of them."""
        return Seen(*(getattr(self, each.name)[where] for each in fields(self)))


def together(parts: Sequence[Seen]) -> Seen:
    """Several as one."""
    if not parts:
        none, nothing = np.empty(0), np.empty(0, np.uint32)
        return Seen(nothing, np.empty((0, 2), np.uint64), none, none, none, none.astype(np.bool_))
    return Seen(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Seen)))


@dataclass(slots=True)
class _Known:
    """The entries that are followed, as the last frame showed them.

    `before` and `first` are when a reading did not show an entry yet, and when one first did; `before` is NaN for those
    that the first frame showed. The last packet that was noticed came between the readings at `packet` (NaN: none was)
    and at `since`; `trusted` says that it set the time-out which the host's settings tell.
    """

    rows: Rows
    before: Floats
    first: Floats
    packet: Floats
    since: Floats
    trusted: Mask

    def at(self, where: Mask | Places) -> _Known:
        """Some of them."""
        before, first, packet, since = (c[where] for c in (self.before, self.first, self.packet, self.since))
        return _Known(self.rows.at(where), before, first, packet, since, self.trusted[where])


@dataclass(slots=True)
class Events:
    """All that was seen, a part for each pair of frames."""

    births: list[Seen] = field(default_factory=list)
    deaths: list[Seen] = field(default_factory=list)
    lives: list[Seen] = field(default_factory=list)
    silences: list[Seen] = field(default_factory=list)


class Follower:
    """Takes frames one after the other.

    `share` is the part of the table that is followed, `doubt` the relative variance of that number, `intervals` the
    seconds between the frames that were compared, `blur` those that the longest of them took.
    """

    def __init__(self, viewpoint: Viewpoint) -> None:
        self._read = Reader(viewpoint)
        self._known: _Known | None = None
        self._buckets: int | None = None
        self.events, self.remarks = Events(), dict[str, None]()
        self.intervals: list[float] = []
        self.share, self.doubt, self.blur = 1.0, 0.0, 0.0
        self.mean_weights: list[float] = []

    @property
    def followed(self) -> int:
        """How many entries are followed now."""
        return len(self._known.rows) if self._known else 0

    @property
    def begun(self) -> bool:
        """Whether a frame was taken."""
        return self._known is not None

    @property
    def rows(self) -> Rows:
        """The entries that are followed, as the last frame showed them."""
        assert self._known is not None  # asked after a frame
        return self._known.rows

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        rows = self._read(frame)
        if self._known is None or frame.buckets != self._buckets:
            self._begin(frame, rows)
            return
        before = self._known.rows
        _, old, new = np.intersect1d(before.key, rows.key, assume_unique=True, return_indices=True)
        by_place = np.argsort(old)
        old, new = old[by_place], new[by_place]
        if (np.diff(new) < 0).sum() > DISORDER * len(new) + 1:
            self._begin(frame, rows)
            return
        self._compare(frame, rows, old, new)

    def _begin(self, frame: Frame, rows: Rows) -> None:
        """A new panel, of which this is the first frame."""
        if self._known is not None:
            self.remarks[RESIZED] = None
            self._end_watch()
        start, now = np.full(len(rows), np.nan), np.full(len(rows), rows.seconds)
        self._known = _Known(rows, start, now, start, now, np.zeros(len(rows), np.bool_))
        self._buckets = frame.buckets
        self.share = 1.0 if frame.whole else min(len(rows) / max(frame.population, 1), 1.0)
        self.doubt = (1 - self.share) / max(len(rows), 1)

    def _compare(self, frame: Frame, rows: Rows, old: Places, new: Places) -> None:
        """Two frames, of which the rows at `old` and `new` are the same entries."""
        known = self._known
        assert known is not None  # `add` has begun
        ends, followed = self._ends(frame, len(known.rows), len(rows), old, new)
        old, new = old[:followed], new[:followed]
        gone, came = np.ones(ends[0], np.bool_), np.ones(ends[1], np.bool_)
        gone[old], came[new] = False, False
        rows, known = rows.cut(ends[1]), known.at(np.arange(ends[0]))
        passed = rows.seconds - known.rows.seconds
        self.intervals.append(passed)
        self.mean_weights.append(1 / self.share)
        self._births(rows.at(came), passed)
        self._deaths(known.at(gone), rows.seconds)
        self.blur = max(self.blur, frame.took)
        self._go_on(known.at(old), rows, new, ROUNDING + frame.took)

    def _ends(self, frame: Frame, before: int, now: int, old: Places, new: Places) -> tuple[tuple[int, int], int]:
        """Up to where either frame is compared, and how many common entries stand before that."""
        if self.share == 1.0 and frame.whole:
            return (before, now), len(old)
        if not len(old):
            self.remarks[NOTHING_LEFT] = None
            self.share = min(now / max(frame.population, 1), 1.0)
            return (before, now), 0
        # The last common entry marks the end; were it counted, an end would be counted as a survivor.
        kept = max(int(old[-1]), 1) / before
        self.doubt += (1 - kept) / (kept * before)
        self.share *= kept
        return (int(old[-1]), int(new[-1])), len(old) - 1

    def _seen(self, rows: Rows, low: Floats, high: Floats, ended: bool = True) -> Seen:
        weight = np.full(len(rows), 1 / self.share)
        return Seen(rows.service, rows.client, weight, low, high, np.full(len(rows), ended))

    def _births(self, rows: Rows, passed: float) -> None:
        self.events.births.append(self._seen(rows, rows.left, np.full(len(rows), passed)))

    def _deaths(self, known: _Known, now: float) -> None:
        born = ~np.isnan(known.before)
        last = known.rows.seconds
        self.events.deaths.append(self._seen(known.rows, last - known.first, now - known.before))
        whole = known.at(born)
        self.events.lives.append(self._seen(whole.rows, last - whole.first, now - whole.before))

    def _go_on(self, known: _Known, rows: Rows, new: Places, slack: float) -> None:
        """Silences that a packet ended; and what is known of the entries from now on."""
        earlier = known.rows.seconds
        passed, here = rows.seconds - earlier, rows.at(new)
        moved = np.abs(here.left - (known.rows.left - passed)) > slack
        # A packet sets the time-out anew: by now no more of it can have run down than the time that has passed.
        fresh = rows.left >= rows.limit - passed - slack
        self._silences(known.at(moved), here.at(moved), fresh[new][moved])
        before, first = np.full(len(rows), earlier), np.full(len(rows), rows.seconds)
        packet, since, trusted = before.copy(), first.copy(), fresh.copy()
        before[new], first[new] = known.before, known.first
        packet[new], since[new] = np.where(moved, earlier, known.packet), np.where(moved, rows.seconds, known.since)
        trusted[new] = np.where(moved, fresh[new], known.trusted)
        self._known = _Known(rows, before, first, packet, since, trusted)

    def _silences(self, known: _Known, here: Rows, fresh: Mask) -> None:
        """How long entries were silent before the packet between the last two frames.

        By the readings alone from one packet that was noticed to the next; nearer where the time-out that ran is known.
        A second that has begun is not shown: of 100 s with 99 left between 0 and 1 have passed.
        """
        low, high = known.rows.seconds - known.since, here.seconds - known.packet
        high[np.isnan(high)] = np.inf
        told = known.trusted | (fresh & (known.rows.limit == here.limit))
        idle = known.rows.limit - known.rows.left
        low = np.where(told, np.maximum(low, idle - 1), low)
        now = np.where(fresh, np.maximum(here.limit - here.left - 1, 0), 0)
        high = np.where(told, np.minimum(high, idle + here.seconds - known.rows.seconds - now), high)
        self.events.silences.append(self._seen(known.rows, low, np.maximum(high, low)))

    def _end_watch(self) -> None:
        """The lives of those that are still there are cut off here."""
        assert self._known is not None  # there is something to end
        living = self._known.at(~np.isnan(self._known.before))
        now = living.rows.seconds
        self.events.lives.append(self._seen(living.rows, now - living.first, now - living.before, ended=False))

    def close(self) -> Events:
        """All that was seen."""
        if self._known is not None:
            self._end_watch()
        return self.events
