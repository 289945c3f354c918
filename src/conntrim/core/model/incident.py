"""The story of the incident as it went on a kernel: one value a stage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: what the table held at its end, packets dropped for want of room, failed requests, speed, the lesson.

    None where the stage put no load on the site. `as_told`: the kernel did what the story says.
    """

    name: str
    entries: int | None
    drops: int | None
    failed: int | None
    requests_per_second: float | None
    verdict: str
    as_told: bool


@dataclass(frozen=True, slots=True)
class Incident:
    """The whole story. `left_out` says what could not be run here, and why."""

    requests: int
    limit: int
    stages: tuple[Stage, ...]
    left_out: tuple[str, ...] = ()

    @property
    def as_told(self) -> bool:
        """Whether every stage went as told."""
        return all(stage.as_told for stage in self.stages)
