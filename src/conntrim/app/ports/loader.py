"""The kernel's rules, as far as a rollout touches them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conntrim.core.model.plan import Batch
from conntrim.core.rollout.claim import Claim
from conntrim.core.rollout.record import Guard


class Loader(Protocol):
    """Feeds batches to their programs. Everything raises HostError with the program's own words."""

    def check(self, batch: Batch, guard: Guard) -> None:
        """Would the kernel take this batch now? Changes nothing."""

    def load(self, batch: Batch, guard: Guard) -> None:
        """Load a batch, in one transaction: all of it or, with HostError, nothing."""

    def offers_recent(self) -> bool:
        """May this host's iptables rules carry the second guard, `Guard.recent`?"""

    def fill(self, name: str) -> None:
        """Put every address into a list of `-m recent`, seen now: rules that want one there match from now on."""

    def empty(self, name: str) -> None:
        """Take everything out of a list that an earlier run left, if there is one."""

    def own(self, programs: Sequence[str], claim: Claim) -> tuple[str, ...]:
        """Our rules as these programs list them now, one text each, without counters, handles and times.

        With `FLIPPED` after them while that holds.
        """

    def altered(self, programs: Sequence[str], claim: Claim) -> tuple[str, ...]:
        """Rules that bear a comment of the plan's and are not what was loaded: somebody else's now."""

    def counted(self, programs: Sequence[str], claim: Claim) -> dict[str, int]:
        """How many packets our untracking rules have counted, by their comments."""

    def tables(self, programs: Sequence[str]) -> tuple[str, ...]:
        """The tables that these programs list now, as `PROGRAM NAME`."""

    def sweep(self, programs: Sequence[str], keep: Sequence[str], claim: Claim) -> None:
        """Take out everything that is ours, and the tables that came with it: empty and not among `keep`."""

    def installed(self) -> tuple[str, ...]:
        """The programs that this host has."""
