"""What is tried between a trial's load and its answer."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """An SSH session, as $SSH_CONNECTION tells it: where the operator sits, and which of our addresses they reached."""

    client: str
    client_port: int
    server: str
    server_port: int

    def __str__(self) -> str:
        return f"the SSH session from {self.client} port {self.client_port}"


@dataclass(frozen=True, slots=True)
class Probe:
    """A TCP service that must answer through the new rules."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def probe_of(text: str) -> Probe | None:
    """`HOST:PORT` or `[ADDRESS]:PORT`; None where it is neither."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]\s]+)):(\d{1,5})", text)
    if found is None or not 0 < int(found[3]) < 65536:
        return None
    return Probe(found[1] or found[2], int(found[3]))


def session_of(connection: str) -> Session | None:
    """$SSH_CONNECTION: client, its port, server, its port; None where it says nothing."""
    words = connection.split()
    if len(words) != 4 or not (words[1].isdecimal() and words[3].isdecimal()):
        return None
    return Session(words[0], int(words[1]), words[2], int(words[3]))
