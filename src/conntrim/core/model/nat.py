"""A translation as a rule names it: which addresses and ports the kernel may pick."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NatKind(StrEnum):
    """The kinds of translations, by nft's names; netmap is iptables' alone."""

    SNAT = "snat"
    DNAT = "dnat"
    MASQUERADE = "masquerade"
    REDIRECT = "redirect"
    NETMAP = "netmap"


OF_SOURCES = frozenset({NatKind.SNAT, NatKind.MASQUERADE})
"""Those that give another source; all others but netmap, which stands in any chain, give another destination."""


class NatFlag(StrEnum):
    """How the kernel picks among several, by nft's names, in the order in which they are listed."""

    RANDOM = "random"
    FULLY_RANDOM = "fully-random"
    PERSISTENT = "persistent"


Span = tuple[int, int]
"""The first and the last of a range."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A target that the model does not follow, by its own words: a map, a list, a base port.

    `looks_up`: nothing may be found there, and then nft ends the rule (K53). `keeps_port`: it gives addresses alone.
    """

    text: str
    looks_up: bool = False
    keeps_port: bool = False


@dataclass(frozen=True, slots=True)
class Nat:
    """A translation to one of `addresses` (128-bit, of a netmap the whole prefix) and one of `ports`.

    None: that part is not named. Without an address masquerade and redirect take one of the host's.
    """

    kind: NatKind
    addresses: Span | None = None
    ports: Span | None = None
    flags: tuple[NatFlag, ...] = ()
    elsewhere: Elsewhere | None = None
