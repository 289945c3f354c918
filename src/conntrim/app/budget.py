"""How long a proof may take before the answer is *not decided*."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count

from conntrim.core.prove.diagram import NotDecided

SECONDS = 60.0
"""Of processor time, so that a busy host proves what an idle one proves: `apply` must come to the plan's own answer.
What a person waits for one; the largest corpus host takes a tenth of it."""

SELDOM = 64
"""Ticks between two looks at the clock: to ask for processor time is a system call."""


def ticking(seconds: float = SECONDS, now: Callable[[], float] = time.process_time) -> Callable[[], None]:
    """What a proof calls now and then: raises `NotDecided` once the time is up."""
    end, ticks = now() + seconds, count(1)

    def tick() -> None:
        if next(ticks) % SELDOM == 0 and now() > end:
            raise NotDecided(f"more than {seconds:.0f} s of work")

    return tick
