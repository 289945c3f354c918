"""What some opaque matches ask beyond the packet and its entry: how often a client came, by which way it is reached.

To all proofs these stay questions; what `explain` is told, or takes for a first attempt, answers them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate of packets that lets `burst` of them through at once; `over`: the match is for what is more."""

    burst: int
    over: bool = False


@dataclass(frozen=True, slots=True)
class Visitors:
    """A list of `recent`: `adds` puts the packet's address on it; else the match holds if it is there `hits` times."""

    name: str
    adds: bool
    hits: int = 1


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections a client has open, `limit` or fewer; `over`: more than that."""

    limit: int
    over: bool


@dataclass(frozen=True, slots=True)
class WayBack:
    """Whether the packet's source is reached by the interface that it came in by (reverse path); `inverted`: whether it
    is not. `loose`: by any. `plain`: without more options, which the model does not know."""

    inverted: bool = False
    loose: bool = False
    plain: bool = True


@dataclass(frozen=True, slots=True)
class BridgePorts:
    """The ports of a bridge: each option of `-m physdev` with the port it names and whether it is inverted."""

    options: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True, slots=True)
class Wrapping:
    """Whether a packet came by IPsec, or has a header of IPv6's extensions; `plain`: what one with neither is told."""

    plain: bool


Asks = Rate | Visitors | Connections | WayBack | BridgePorts | Wrapping
