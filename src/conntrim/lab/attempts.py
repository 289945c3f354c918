"""The document's own attempts, as a table: what is loaded on the web host, and what the story says happens then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conntrim.lab import document
from conntrim.lab.site import CONCURRENCY, DATABASE, LATER, Load

REUSED = 0.9
"""At least so much of the entries is there where ports are used twice; 0.987 was seen on a slow machine."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one load left behind on one host: its answers, entries in the table, packets dropped for want of room."""

    load: Load
    entries: int
    drops: int

    @property
    def served(self) -> bool:
        """Nothing failed and nothing was dropped."""
        return (self.load.failed, self.drops) == (0, 0)

    @property
    def quiet(self) -> bool:
        """Served, and nothing in the table."""
        return self.served and self.entries == 0

    @property
    def tracked_twice(self) -> bool:
        """Each request left two entries: one from the client, one to the cache.

        At its end ab may have opened connections, one a slot at most, on which it asks for nothing more. And a few are
        fewer: a port that the kernel takes again within the run (tcp_tw_reuse) takes its entry again.
        """
        most = 2 * self.load.requests
        return most * REUSED <= self.entries <= most + CONCURRENCY

    @property
    def full(self) -> bool:
        """The table was full: packets dropped and requests failed."""
        return self.drops > 0 and self.load.failed > 0


@dataclass(frozen=True, slots=True)
class Knock:
    """A stranger tries a closed port of the web host from a source port; `opens` is what the story expects."""

    source_port: int
    port: int
    opens: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One rule set on the web host: `told` judges what was seen, `lesson` says what is learnt from it."""

    name: str
    raw: str
    states: str
    told: Callable[[Seen], bool]
    lesson: str
    knock: Knock | None = None


HEALTHY = Attempt(
    "healthy",
    document.raw(),
    document.TRACKED,
    lambda seen: seen.served and seen.tracked_twice,
    "served; two entries a request: one from the client, one to the cache",
)
"""Before the incident: the table is large enough."""

FULL = Attempt(
    "full",
    document.raw(),
    document.TRACKED,
    lambda seen: seen.full,
    "table full, dropping packet: every short connection stays 120 s as TIME_WAIT",
)
"""The incident."""

ATTEMPTS: tuple[Attempt, ...] = (
    Attempt(
        "first rules",
        document.FIRST,
        document.WITH_UNTRACKED,
        lambda seen: seen.quiet,
        f"works, but the range 10240:65000 opens port {LATER} to anyone",
        Knock(40_000, LATER, opens=True),
    ),
    Attempt(
        "useless variant",
        document.USELESS,
        document.WITH_UNTRACKED,
        lambda seen: seen.full or seen.tracked_twice,
        "no packet of this host looks like that: entries as before",
    ),
    Attempt(
        "one-sided",
        document.ONE_SIDED,
        document.WITH_UNTRACKED,
        lambda seen: seen.load.failed == seen.load.requests,
        "the site stops: the cache's SYN/ACK is INVALID and is rejected (K15)",
    ),
    Attempt(
        "final rules",
        document.FINAL,
        document.WITH_UNTRACKED,
        lambda seen: seen.quiet,
        "works: nothing of the two services is tracked",
    ),
)
"""In the document's order."""

HOLE = Knock(11_211, DATABASE, opens=True)
"""K20: on the final rules a stranger's packet from source port 11211 is taken for an answer of the cache."""
