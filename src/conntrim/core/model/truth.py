"""What came of setting the model against the kernel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Doubt:
    """How many packets were not compared because of one kind of question that the model leaves open."""

    kind: str
    packets: int


@dataclass(frozen=True, slots=True)
class Truth:
    """The answer of a run. `undecided` packets were not compared: the model says that it does not know them;
    `doubts` says why, the most frequent reason first.

    `disagreements` counts dialogues. `first_at` is the number of packets, in the order of rule sets, before the first
    of them; None where all agree. `cases` are the smallest forms of some of them, as case files. `seconds` of
    wall-clock time.
    """

    packets: int
    rulesets: int
    seed: int
    workers: int
    disagreements: int
    undecided: int
    first_at: int | None
    seconds: float
    cases: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()
