"""The time, on the clocks that the guards go by."""

from __future__ import annotations

from typing import Protocol

from conntrim.core.rollout.record import Moment


class Clock(Protocol):
    """Two clocks and the boot's identity."""

    def now(self) -> Moment:
        """This moment."""

    def sleep(self, seconds: float) -> None:
        """Wait; a signal ends it early with KeyboardInterrupt."""
