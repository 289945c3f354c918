"""The obligations in the order of the manual."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from conntrim.core.plan.obligations import (
    answers_leave,
    delivered,
    errors_return,
    falls_back,
    fragments,
    guard_expired,
    helper_kept,
    loads,
    nat_kept,
    no_ct_dependence,
    no_exposure,
    no_loss,
    room,
    two_sided,
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
    guard_expired,
    falls_back,
    loads,
)
"""Those that are asked of every plan that untracks something."""

SPECS: tuple[Spec, ...] = tuple(module.SPEC for module in MODULES)
NAMES: tuple[str, ...] = tuple(spec.name for spec in SPECS)
BY_SETS: tuple[Spec, ...] = tuple(spec for spec in SPECS if spec.by_sets)
"""Those that packet sets decide, for any two rule sets and a policy."""


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
