"""All checks, in the order in which a report shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from conntrim.core.diagnose import (
    chain_refusals,
    contradiction,
    dead_key,
    dying,
    early_drop,
    expectations,
    filling_up,
    hashsize_trap,
    insert_failed,
    log_overflow,
    long_chains,
    memory_at_max,
    other_namespace,
    overridden,
    packets_dropped,
    table_full,
)
from conntrim.core.diagnose.case import Case
from conntrim.core.model.finding import Finding


class CheckModule(Protocol):
    """What a file of this folder has to have to be a check."""

    CODE: str
    NAME: str
    __doc__: str | None

    @property
    def check(self) -> Callable[[Case], Iterator[Finding]]:
        """Findings of a case."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check: its code and name, and what it runs."""

    code: str
    name: str
    run: Callable[[Case], Iterator[Finding]]


MODULES: tuple[CheckModule, ...] = (
    table_full, packets_dropped, log_overflow, filling_up, long_chains, chain_refusals, insert_failed, early_drop,
    other_namespace, overridden,
    hashsize_trap, dead_key, contradiction, memory_at_max, dying, expectations,
)  # fmt: skip

CHECKS: tuple[Check, ...] = tuple(Check(m.CODE, m.NAME, m.check) for m in MODULES)


def findings(case: Case, cause: str = "") -> tuple[Finding, ...]:
    """What every check found, the worst first, in the order of the checks where they are equally bad.

    `cause` is the code of what fills the table most.
    """
    found = [
        replace(finding, caused_by=cause) if finding.code == table_full.CODE else finding
        for check in CHECKS
        for finding in check.run(case)
    ]
    return tuple(sorted(found, key=lambda finding: -finding.severity))
