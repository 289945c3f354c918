"""Why a table fills: a hypothesis with the evidence for it and against it, and what helps."""

from __future__ import annotations

from dataclasses import dataclass, field

from conntrim.core.model.finding import Remedy, Severity


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause: whose entries they are, how many and which share of the table (0 to 1, within `bound`).

    `evidence_against` tells what speaks for another reading, and what would decide. Each entry of the table counts for
    one cause only, the most special one. `interfaces`: behind which device the addresses of `who` are, of a running
    kernel.
    """

    code: str
    title: str
    severity: Severity
    entries: int
    share: float
    bound: float
    evidence_for: tuple[str, ...]
    evidence_against: tuple[str, ...]
    remedies: tuple[Remedy, ...]
    who: tuple[str, ...] = ()
    interfaces: dict[str, str] = field(default_factory=dict)
