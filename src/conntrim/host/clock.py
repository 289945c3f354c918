"""The clocks that the guards go by: the wall clock (iptables) and the time since boot (nft)."""

from __future__ import annotations

import time

from conntrim.core.rollout.record import Moment

BOOT_ID = "/proc/sys/kernel/random/boot_id"


class HostClock:
    """This machine's clocks."""

    def now(self) -> Moment:
        """This moment."""
        try:
            with open(BOOT_ID, encoding="ascii") as file:
                boot = file.read().strip()
        except OSError:
            boot = ""  # hidden in some containers: then a restart is seen by the rules that are gone
        return Moment(time.time(), time.monotonic(), boot)

    def sleep(self, seconds: float) -> None:
        """Wait; a signal ends it early with KeyboardInterrupt."""
        time.sleep(max(0.0, seconds))
