"""How long entries live, of those that were born while we looked: told only up to the time watched.

Nobody saw a birth or a death itself, only that it was between two readings. Two Kaplan-Meier curves hold the truth
between them: one in which each entry lived as short as it can have, one as long. Those still there are cut off
(censored). Entries that came and went unseen shorten the lower curve by as many as there can be.
"""

from __future__ import annotations

import math

import numpy as np

from conntrim.core.census.panel.estimate import doubling
from conntrim.core.census.panel.follow import Mask, Seen
from conntrim.core.census.panel.reading import Floats
from conntrim.core.census.sample import Z98
from conntrim.core.model.panel import Longer


def lifetimes(lives: Seen, first: float, watched: float, seen_part: float) -> tuple[Longer, ...]:
    """The share that lives longer than `first` seconds, twice that, and so on; empty where none was born.

    `seen_part` is the least part of the births that was seen at all.
    """
    if not len(lives):
        return ()
    # The eldest is watched from its first sight to the end: nothing is known of a greater age.
    known = float(lives.low.max(initial=0))
    told = []
    for seconds in doubling(first, min(watched, known)):
        low, _ = survival(lives.low, lives.ended, seconds, cut_first=True)
        _, high = survival(lives.high, lives.ended, seconds, cut_first=False)
        told.append(Longer(seconds, low * seen_part, high))
    return tuple(told)


def survival(ages: Floats, ended: Mask, at: float, *, cut_first: bool) -> tuple[float, float]:
    """Bounds of the share that outlives an age: Kaplan-Meier with Greenwood's variance on the log-log scale.

    `cut_first`: of those that were cut off at an age at which others died nobody knows whether they would not have.
    """
    deaths, counts = np.unique(ages[ended & (ages <= at)], return_counts=True)
    cut = np.sort(ages[~ended])
    at_risk = int(ended.sum()) - np.searchsorted(np.sort(ages[ended]), deaths, side="left")
    at_risk += len(cut) - np.searchsorted(cut, deaths, side="right" if cut_first else "left")
    share = float(np.prod(1 - counts / at_risk)) if len(deaths) else 1.0
    if share in (0.0, 1.0):
        # Nothing to take a variance of: as many as chance may hide, of those that were at risk last.
        alone = 1 - 0.02 ** (1 / max(int((ages >= at).sum()) if share else len(ages), 1))
        return (1 - alone, 1.0) if share else (0.0, alone)
    left = np.maximum(at_risk - counts, 0.5)
    spread = math.sqrt(float((counts / (at_risk * left)).sum())) / abs(math.log(share))
    return share ** math.exp(Z98 * spread), share ** math.exp(-Z98 * spread)
