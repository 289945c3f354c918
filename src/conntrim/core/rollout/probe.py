"""What is tried between a trial's load and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, unquote_to_bytes

from conntrim.core.model.address import parse_address
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Plan
from conntrim.core.model.policy import Untrack
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Direction
from conntrim.core.parse.endpoint import endpoint_of


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
class Fate:
    """What becomes of a session by the model: why it is `lost`, or why that is in `doubt`; both empty: it stays."""

    lost: str = ""
    doubt: str = ""


class How(StrEnum):
    """What a probe does."""

    TCP = "tcp"
    UDP = "udp"
    HTTP = "http"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Probe:
    """A service that must answer through the new rules; or a command, such as one that asks from another host.

    UDP: `send` is the payload, `expect` what the answer must hold. HTTP: `path`; a status of 2xx or 3xx is an answer.
    """

    host: str = ""
    port: int = 0
    how: How = How.TCP
    send: bytes = b""
    expect: bytes = b""
    path: str = "/"
    argv: tuple[str, ...] = ()

    @property
    def protocol(self) -> int:
        """Its layer-4 protocol."""
        return Protocol.UDP if self.how is How.UDP else Protocol.TCP

    def __str__(self) -> str:
        if self.argv:
            return f"the command {' '.join(self.argv)}"
        place = f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
        return place if self.how is How.TCP else f"{self.how}://{place}{self.path if self.how is How.HTTP else ''}"


_PLACES: dict[How, str] = {How.TCP: "", How.UDP: "?", How.HTTP: "/"}
"""How what follows the port begins."""


def probe_of(text: str) -> Probe | None:
    """`HOST:PORT`, `tcp://HOST:PORT`, `udp://HOST:PORT?send=DATA&expect=DATA` or `http://HOST:PORT/PATH`; else None."""
    found = endpoint_of(text)
    if found is None:
        return None
    how, rest = How(found.scheme or "tcp"), found.rest
    if rest and (not _PLACES[how] or rest[0] != _PLACES[how]):
        return None
    if how is not How.UDP:
        return Probe(found.host, found.port, how, path=rest or "/")
    given = dict(parse_qsl(rest[1:], keep_blank_values=True, encoding="latin-1"))
    if "send" not in given or given.keys() - {"send", "expect"}:
        return None
    send, expect = (_bytes(given.get(key, "")) for key in ("send", "expect"))
    return None if send is None or expect is None else Probe(found.host, found.port, how, send, expect)


def _bytes(text: str) -> bytes | None:
    """`0x0a1b` as bytes, other text as it is (percent signs are read already)."""
    if not text.startswith("0x"):
        return unquote_to_bytes(text) if text.isascii() else text.encode("latin-1")
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        return None


def unproved(probe: Probe, plan: Plan, address: str, own: Intervals) -> str:
    """Why an answer to a probe of that address says nothing about the plan's rules; "" where it does."""
    if probe.argv:
        return ""
    far = parse_address(address)
    if far in own:
        return (
            f"{probe} is this host itself: such packets go over lo and never meet the rules that a client's meet; "
            "ask from another host with --probe-command"
        )
    if service_of(probe, plan, far) is None:
        return f"{probe} is no connection of a service that the plan untracks"
    return ""


def service_of(probe: Probe, plan: Plan, far: int) -> Untrack | None:
    """The service whose connection the probe opens: from here it can only be one of those that this host asks."""
    for service in plan.policy.untrack:
        asked = service.direction is Direction.OUTBOUND and service.protocol == probe.protocol
        if asked and probe.port in service.ports and far in service.peers:
            return service
    return None


def session_of(connection: str) -> Session | None:
    """$SSH_CONNECTION: client, its port, server, its port; None where it says nothing."""
    words = connection.split()
    if len(words) != 4 or not (words[1].isdecimal() and words[3].isdecimal()):
        return None
    try:
        parse_address(words[0]), parse_address(words[2])
    except ValueError:
        return None
    return Session(words[0], int(words[1]), words[2], int(words[3]))
