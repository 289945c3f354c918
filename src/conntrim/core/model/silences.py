"""How long entries of each service were silent before a packet came, as readings of the same entries showed it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conntrim.core.model.service import Service


@dataclass(frozen=True, slots=True)
class Silent:
    """`entries` of the service were followed at the end; `gaps` are the upper bounds, in seconds, of the silences that
    a packet ended meanwhile (infinite where none is known)."""

    service: Service
    entries: int
    gaps: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Silences:
    """`watched` are the seconds from the first reading to the last. Of silences longer than `noticed` seconds none is
    missed. Each entry stands for `weight` of the whole table, of which `doubt` is the relative variance."""

    watched: float
    noticed: float
    weight: float
    doubt: float
    services: tuple[Silent, ...]
