"""The conntrack entries of a plan's services, kept through a trial and put right when it is undone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conntrim.core.model.policy import Untrack


class Entries(Protocol):
    """The conntrack table, as far as connections depend on it that outlive a trial."""

    def keep_alive(self, services: Sequence[Untrack], seconds: float) -> int:
        """Let the entries of these services' open connections outlive so many seconds untracked; how many.

        HostError.
        """

    def renew(self, services: Sequence[Untrack]) -> int:
        """Make anew the entries that `keep_alive` made liberal; how many had to stay as they are. HostError."""

    def adopt(self, services: Sequence[Untrack]) -> int:
        """Make entries for this host's open TCP connections of these services that have none; how many. HostError."""
