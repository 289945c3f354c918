"""What an operator would try by hand before keeping a change."""

from __future__ import annotations

from typing import Protocol

from conntrim.core.rollout.probe import Session


class Prober(Protocol):
    """Connections from the host that the rollout is about."""

    def connect(self, host: str, port: int) -> str:
        """Why a TCP connection does not come about, "" where it does."""

    def session(self) -> Session | None:
        """The SSH session that conntrim was called from, where it ends on this host."""

    def lost(self, session: Session) -> str:
        """Why the loaded rules would no longer let it through, "" where they do."""
