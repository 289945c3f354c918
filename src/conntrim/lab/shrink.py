"""Makes a disagreement small: takes away tables, rules, matches and packets as long as it is still there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from conntrim.core.model.packet import Packet
from conntrim.lab.script import Script

Made = tuple[Packet, ...]
Differs = Callable[[Script, Made], bool]

TRIES = 400
"""Trials at most: each loads a rule set."""


def shrink(script: Script, packets: Made, differs: Differs, tries: int = TRIES) -> tuple[Script, Made]:
    """A smallest pair in which `differs` still holds: nothing more can be taken away alone."""
    left = tries
    found = True
    while found and left > 0:
        found = False
        for smaller in _smaller(script, packets):
            left -= 1
            if differs(*smaller):
                (script, packets), found = smaller, True
                break
            if left <= 0:
                break
    return script, packets


def _smaller(script: Script, packets: Made) -> Iterator[tuple[Script, Made]]:
    for fewer in _fewer(packets):
        yield script, fewer
    for less in script.smaller():
        yield less, packets


def _fewer(packets: Sequence[Packet]) -> Iterator[Made]:
    """The first packets alone, then without any single one."""
    for end in range(1, len(packets)):
        yield tuple(packets[:end])
    for i in range(len(packets) - 1):
        yield (*packets[:i], *packets[i + 1 :])
