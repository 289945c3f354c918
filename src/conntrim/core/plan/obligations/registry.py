"""The obligations in the order of the manual."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import assert_never

from conntrim.core.model.policy import ClientLimit, Cure, Policy, ServiceTimeout, Untrack
from conntrim.core.plan.obligations import (
    answers_leave,
    delivered,
    errors_return,
    exact_entries,
    falls_back,
    fragments,
    guard_expired,
    helper_kept,
    loads,
    nat_kept,
    no_ct_dependence,
    no_exposure,
    no_loss,
    only_over_limit,
    rfc_floor,
    room,
    two_sided,
    verdicts_kept,
)
from conntrim.core.plan.obligations.spec import Spec

MODULES = (
    two_sided,
    delivered,
    no_exposure,
    no_loss,
    nat_kept,
    helper_kept,
    errors_return,
    answers_leave,
    no_ct_dependence,
    fragments,
    only_over_limit,
    verdicts_kept,
    exact_entries,
    rfc_floor,
    guard_expired,
    falls_back,
    loads,
)
"""Those that are asked of plans that change rules."""

EVERY = frozenset({guard_expired.NAME, falls_back.NAME, loads.NAME})
"""Those that are asked of each of them."""

SPECS: tuple[Spec, ...] = tuple(module.SPEC for module in MODULES)
NAMES: tuple[str, ...] = tuple(spec.name for spec in SPECS)
BY_SETS: tuple[Spec, ...] = tuple(spec for spec in SPECS if spec.by_sets)
"""Those that packet sets decide, for any two rule sets and a policy."""


TIMING = frozenset({verdicts_kept.NAME, exact_entries.NAME, rfc_floor.NAME})
UNTRACKING = frozenset(NAMES) - TIMING - {only_over_limit.NAME}


def names_of(cure: Cure) -> frozenset[str]:
    """What is asked of a cure, by its kind."""
    match cure:
        case Untrack():
            return UNTRACKING
        case ClientLimit():
            return EVERY | {only_over_limit.NAME}
        case ServiceTimeout():
            return EVERY | TIMING
        case _:
            assert_never(cure)


def specs_of(policy: Policy) -> tuple[Spec, ...]:
    """What is asked of a policy, in the order of the manual."""
    asked = frozenset[str]().union(*map(names_of, policy.cures))
    return tuple(spec for spec in SPECS if spec.name in asked)


@dataclass(frozen=True, slots=True)
class Page:
    """An obligation's manual page: `property` in one sentence, `text` all of it."""

    name: str
    text: str

    @property
    def property(self) -> str:
        """What must hold."""
        return self.text.splitlines()[0]


def _page(module: ModuleType) -> Page:
    return Page(module.SPEC.name, (module.__doc__ or "").rstrip() + "\n")


PAGES: tuple[Page, ...] = tuple(map(_page, (*MODULES, room)))
"""All of them; `room` is asked where a policy names a size."""
