"""What makes rules last on this host, and an empty namespace to try that in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from conntrim.core.rollout.stores import Store


class Rehearsal(Protocol):
    """An empty network namespace. Everything raises HostError."""

    def load(self, program: str, text: str, *, onto: bool) -> None:
        """Load a text as a boot does; `onto` what is there already."""

    def listing(self, program: str) -> str:
        """What is loaded, as text without counters."""


class Persistence(Protocol):
    """The files from which this host's boot loads rules, below `root`."""

    def stores(self, root: str) -> tuple[Store, ...]:
        """Those that some enabled service loads."""

    def takes_units(self, root: str) -> bool:
        """Would a systemd unit be run at boot?"""

    def paths(self) -> dict[str, str]:
        """The absolute paths of the programs that load rules."""

    def loaded_by(self, family: str) -> str:
        """The restore program behind `iptables-restore` or `ip6tables-restore`, by its back end's own name (K37)."""

    def listing(self, program: str) -> str:
        """What the kernel holds now, as text without counters."""

    def rehearsal(self) -> AbstractContextManager[Rehearsal]:
        """A fresh namespace with interfaces named as here; gone at the end."""
