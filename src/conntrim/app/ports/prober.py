"""What an operator would try by hand before keeping a change."""

from __future__ import annotations

from typing import Protocol

from conntrim.core.model.intervals import Intervals
from conntrim.core.rollout.probe import Fate, Probe, Session


class Prober(Protocol):
    """Questions from the host that the rollout is about, and commands of the operator's."""

    def address(self, probe: Probe) -> str:
        """The address that a network probe will ask. HostError where its name has none."""

    def own(self) -> Intervals:
        """This host's own addresses, loopback included."""

    def ask(self, probe: Probe, address: str) -> str:
        """Why there is no answer, or a wrong one; "" where all is well."""

    def session(self) -> Session | None:
        """The SSH session that conntrim was called from, where it ends on this host."""

    def fate(self, session: Session) -> Fate:
        """What the loaded rules do with it."""
