"""The likeliest number of entries that came and went between two readings, from the seconds left of those seen.

An entry of life L that comes at any time between two readings, d apart, is first seen with anything from L - d to L
seconds left, and is not seen at all where its age would be above L. The lives that explain the seconds left of those
that were seen best (maximum likelihood, found by expectation and maximisation) tell how many were not.
"""

from __future__ import annotations

import numpy as np

from conntrim.core.census.panel.reading import Floats

CLASSES = 32
"""Classes of lives in the time between two readings, where a class is not a second: finer ones only cost time."""

AROUND = 4
"""Times the time between two readings up to which seconds left are looked at: more says nothing of short lives."""

STEPS = 200
"""Of the expectation and maximisation: the sum changes by less than one in a thousand then."""


def shorter_lived(left: Floats, interval: float) -> float:
    """How many entries were not seen; `left` are the seconds left of those that were, cut to whole ones."""
    unit = max(1.0, interval / CLASSES)
    last = int(AROUND * interval / unit) + 1
    counts = np.bincount((left[left < last * unit] // unit).astype(np.intp), minlength=last).astype(np.float64)
    if not counts[: int(np.ceil(interval / unit))].any():
        return 0.0
    # Lives are whole classes; the chance that one of `life` has from `low` on one class left when it is first seen.
    life = unit * np.arange(1, last + int(interval / unit) + 2)
    low = unit * np.arange(last)[:, None]
    chance = np.clip(np.minimum(low + unit, life) - np.maximum(low, life - interval), 0, None) / interval
    shown = np.maximum(chance.sum(axis=0), 1e-12)
    number = np.full(len(life), counts.sum() / len(life))
    for _ in range(STEPS):
        expected = np.maximum(chance @ number, 1e-12)
        number *= (counts / expected) @ chance / shown
    return float((number * np.clip(1 - life / interval, 0, None)).sum())
