"""Where the readings of a panel come from."""

from __future__ import annotations

from typing import Protocol

from conntrim.core.model.panel import Frame


class Frames(Protocol):
    """One table that is read again and again from its beginning."""

    @property
    def source(self) -> str:
        """What is read, as `Flows.source`."""

    def population(self) -> int:
        """How many entries the table holds now."""

    def read(self, rows: int | None, not_before: float, *, settle: bool = False) -> Frame | None:
        """The first so many entries (None: all) when the clock of `Frame.seconds` has reached `not_before`.

        None where there is no later reading. `settle`: sweep out expired entries first, so that the kernel's count is
        of living ones. HostError where the table cannot be read.
        """
