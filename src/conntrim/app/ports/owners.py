"""Whose sockets are open on this host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from conntrim.core.model.facts import Listener, Owner


@dataclass(frozen=True, slots=True)
class Sockets:
    """Those that listen, whose they all are, and TCP's own counters (`TcpExt`)."""

    listeners: tuple[Listener, ...] = ()
    owners: tuple[Owner, ...] = ()
    tcp_counters: dict[str, int] | None = None


class OpenSockets(Protocol):
    """The sockets of a network namespace."""

    def read(self, netns: str | None) -> Sockets:
        """All of them. HostError where the kernel does not tell."""
