"""The causes that were made and those that were named, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from conntrim.core.model.finding import Severity
from conntrim.render.json import to_json
from conntrim.render.page import page


class Outcome(Protocol):
    """One diagnosis of one scenario, as the lab has it."""

    @property
    def scenario(self) -> str:
        """What was made."""

    @property
    def how(self) -> str:
        """Live, saved, or asked: saved, with the own addresses told, which were asked for."""

    @property
    def entries(self) -> int:
        """Entries in the table."""

    @property
    def wanted(self) -> str:
        """The code that must come first, "" for none."""

    @property
    def causes(self) -> tuple[str, ...]:
        """Those that were named."""

    @property
    def false_warnings(self) -> tuple[str, ...]:
        """Other ones at warning or above."""

    @property
    def verdict(self) -> Severity:
        """The verdict."""

    @property
    def right(self) -> bool:
        """Whether it is as it should be."""


@dataclass(frozen=True, slots=True)
class OutcomeFields:
    """What is printed of one diagnosis."""

    scenario: str
    how: str
    entries: int
    wanted: str
    causes: tuple[str, ...]
    false_warnings: tuple[str, ...]
    verdict: Severity
    right: bool


@dataclass(frozen=True, slots=True)
class CausesFields:
    """What `lab causes` prints as JSON."""

    outcomes: tuple[OutcomeFields, ...]


def outcomes_json(outcomes: Sequence[Outcome]) -> str:
    """One JSON object, kind `causes`."""
    each = (
        OutcomeFields(o.scenario, o.how, o.entries, o.wanted, o.causes, o.false_warnings, o.verdict, o.right)
        for o in outcomes
    )
    return to_json("causes", CausesFields(tuple(each)))


def outcomes_text(outcomes: Sequence[Outcome]) -> str:
    """The answer first, then a line a scenario."""
    wrong = [outcome for outcome in outcomes if not outcome.right]
    causes = {outcome.wanted for outcome in outcomes if outcome.wanted}
    healthy = {outcome.scenario for outcome in outcomes if not outcome.wanted}
    head = f"{len(wrong)} of {len(outcomes)} diagnoses are wrong" if wrong else f"{len(outcomes)} diagnoses, all right"
    return page([f"{head}: {len(causes)} causes, {len(healthy)} healthy hosts", "", *_lines(outcomes)])


def _lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield f"{'scenario':<36} {'how':<6} {'entries':>8}  {'wanted':<7} named"
    for outcome in outcomes:
        mark = "" if outcome.right else "  WRONG"
        named = " ".join(outcome.causes) or "none"
        made = f"{outcome.scenario:<36} {outcome.how:<6} {outcome.entries:>8,}"
        yield f"{made}  {outcome.wanted or 'none':<7} {named}{mark}"
