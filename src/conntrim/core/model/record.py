"""A record: what one host showed of its table over a while, in one file that every verb reads."""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.model.facts import HostFacts, Reading
from conntrim.core.model.panel import Frame

COLLECTED = "=== conntrim: "
"""How a collection begins, and what stands in it before each command; what a log or a rule says never begins a line
so."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What one program printed of the rules."""

    program: str
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """The facts of the beginning, with the kernel log's lines; the changing numbers at the last frame; the rules.

    `hidden` tells that addresses and names were replaced, `frames` how many there are, `last` the latest of them, None
    where none was taken.
    """

    path: str
    hidden: bool
    facts: HostFacts
    later: Reading | None
    rules: tuple[Listed, ...]
    frames: int
    last: Frame | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded, for the operator."""

    path: str
    frames: int
    seconds: float
    entries: int
    rows: int
    bytes: int
    hidden: bool
    remarks: tuple[str, ...] = ()
