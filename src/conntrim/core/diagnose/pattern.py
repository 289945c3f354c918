"""Patterns: what a service's entries look like when they pile up for one particular reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.wording import number, percent
from conntrim.core.model.census import IDLE_STEPS, ServiceCount, StateCount
from conntrim.core.model.finding import Finding, Severity

LEAST_SHARE = 0.05
"""A pattern explains something when at least every twentieth entry follows it."""

LEAST_ENTRIES = 10
"""A pattern of fewer is an anecdote, such as one connection that is older than the rules."""

SHOWN = 3
"""Services named as evidence."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Entries of a service that follow it, what they are called, and what to do.

    `always` makes it a warning in a table with room too, because it tells of a mistake.
    """

    code: str
    title: str
    entries: Callable[[ServiceCount], int]
    noun: str
    advice: tuple[str, ...]
    always: bool = False

    def check(self, case: Case) -> Iterator[Finding]:
        """One finding where enough of the table follows the pattern."""
        hits = self.hits(case)
        found = sum(entries for _, entries in hits)
        if not enough(found, case):
            return
        evidence = tuple(
            f"{service.service}: {number(entries)} of {number(case.scale(service.entries))} {self.noun}"
            for service, entries in hits[:SHOWN]
        )
        severity = Severity.WARNING if self.always else case.pressing
        title = f"{self.title}, {percent(found, case.total)} of the entries"
        yield Finding(self.code, severity, title, evidence, advice=self.advice)

    def hits(self, case: Case) -> list[tuple[ServiceCount, int]]:
        """The services with entries that follow the pattern and how many, scaled to the table, the most first."""
        hits = [(service, case.scale(found)) for service, _ in case.services() if (found := self.entries(service))]
        return sorted(hits, key=lambda hit: -hit[1])


def enough(found: int, case: Case) -> bool:
    """Whether so many entries explain something."""
    return found >= max(LEAST_ENTRIES, LEAST_SHARE * case.total)


def dominant(case: Case, patterns: tuple[Pattern, ...]) -> str:
    """The code of the pattern that most entries follow, "" where none explains enough."""
    shares = {p.code: sum(entries for _, entries in p.hits(case)) for p in patterns}
    code = max(shares, key=lambda code: shares[code], default="")
    return code if code and enough(shares[code], case) else ""


def in_states(*names: str) -> Callable[[ServiceCount], int]:
    """Counts a service's entries in these states."""
    return lambda service: sum(state.entries for state in service.states if state.state in names)


def idle_for(state: StateCount, seconds: int) -> int:
    """Entries of a state whose last packet is at least so long ago; `seconds` is an edge of `IDLE_STEPS`."""
    return sum(state.idle[IDLE_STEPS.index(seconds) + 1 :])
