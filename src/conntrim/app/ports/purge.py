"""Deleting the entries that a confirmed plan has made stale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conntrim.core.model.policy import Untrack


class Purge(Protocol):
    """The conntrack table, as far as a rollout touches it."""

    def purge(self, services: Sequence[Untrack]) -> int:
        """Delete exactly the entries of these services; how many. HostError."""
