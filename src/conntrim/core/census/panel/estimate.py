"""From what was seen of a part of the table to the whole of it, with bounds: numbers, and entries that were never seen.

Each entry is in the part that is followed with the same chance, whatever it is: the kernel's keyed hash decides (K34).
What was counted there is divided by that chance, which is itself only known from the entries of one reading.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conntrim.core.census.panel.follow import Seen
from conntrim.core.census.panel.shorter import shorter_lived
from conntrim.core.census.sample import Z98
from conntrim.core.model.panel import Bounded

ENOUGH = 100
"""Young entries about to expire that are enough to tell how often that happens."""


@dataclass(frozen=True, slots=True)
class Basis:
    """On what the numbers rest: the part of the table that was followed, the relative variance of that part, the mean
    number of entries for which one of it stands, the seconds between the readings, and those that a reading took: what
    came meanwhile is seen by it or by the next one.
    """

    share: float
    doubt: float
    weight: float
    intervals: tuple[float, ...]
    blur: float = 0.0

    @property
    def watched(self) -> float:
        """The seconds from the first reading to the last."""
        return sum(self.intervals)


def limits(count: float) -> tuple[float, float]:
    """Between what a Poisson mean lies of which so many were counted (Byar's approximation, 98 %)."""
    low = count * (1 - 1 / (9 * count) - Z98 / (3 * math.sqrt(count))) ** 3 if count else 0.0
    more = count + 1
    return max(low, 0.0), more * (1 - 1 / (9 * more) + Z98 / (3 * math.sqrt(more))) ** 3


def scaled(low_of: Seen, high_of: Seen, basis: Basis) -> tuple[float, float]:
    """Bounds of a number in the whole table of which at least the one, at most the other were seen in its part."""
    thinned = math.sqrt(1 - basis.share)
    sides = []
    for of, side, sign in ((low_of, 0, -1), (high_of, 1, 1)):
        number = float(of.weight.sum())
        weight = number / len(of) if len(of) else basis.weight
        spread = weight * abs(limits(len(of))[side] - len(of)) * thinned
        edges = number * basis.blur / basis.watched if basis.watched else 0.0
        sides.append(number + sign * math.hypot(spread, Z98 * math.sqrt(basis.doubt) * number, edges))
    return max(sides[0], 0.0), sides[1]


def bounded(seen: Seen, basis: Basis) -> Bounded:
    """The number in the whole table of what was seen in its part."""
    return Bounded(float(seen.weight.sum()), *scaled(seen, seen, basis))


def unseen(births: Seen, basis: Basis) -> Bounded:
    """Entries that came and went between two readings, in the whole time watched.

    Young entries with less than a second left are those that go in the next second: so many a second live for less
    than the time between two readings. At most all of those are unseen; at least as many as are more than all young
    ones that go before the next reading.
    """
    steps, watched = len(basis.intervals), basis.watched
    if not steps or not watched:
        return Bounded(0.0, 0.0, 0.0)
    weight = float(births.weight.mean()) if len(births) else basis.weight
    seconds = _seconds(births, watched / steps)
    soon, seen = int((births.low < seconds).sum()), int((births.low < births.high).sum())
    # For each that is about to expire so many came in the time between two readings.
    times = watched / (seconds * steps)
    spread = math.sqrt(max(times * times * soon + seen - 2 * times * soon, 0.0))
    least = max(times * soon - seen - Z98 * spread, 0.0)
    most = max(limits(int((births.low < 1).sum()))[1] * watched / steps, least)
    likely = min(max(shorter_lived(births.low, watched / steps), least), most)
    return Bounded(weight * likely, weight * least, weight * most)


def _seconds(births: Seen, interval: float) -> float:
    """The shortest time in which enough of the young expire, at most that between two readings."""
    seconds = 1.0
    while 2 * seconds <= interval and (births.low < seconds).sum() < ENOUGH:
        seconds *= 2
    return seconds


def rate(number: Bounded, more: Bounded, watched: float) -> Bounded:
    """Two numbers together, a second."""
    if not watched:
        return Bounded(0.0, 0.0, 0.0)
    return Bounded(*((a + b) / watched for a, b in zip(_three(number), _three(more), strict=True)))


def _three(number: Bounded) -> tuple[float, float, float]:
    return number.value, number.low, number.high


def doubling(first: float, last: float) -> Sequence[float]:
    """Times to tell something of, each twice the one before."""
    if not 0 < first <= last:
        return ()
    return [float(first * 2**i) for i in range(int(np.log2(last / first) + 1e-9) + 1)]
