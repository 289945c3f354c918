"""Whether a plan still fits the rule set that it was made for."""

from __future__ import annotations

from typing import Protocol

from conntrim.core.model.plan import Obligation, Plan


class Freshness(Protocol):
    """Compares the live rule set with the one that a plan was made for."""

    def standing(self, plan: Plan) -> tuple[Obligation, ...]:
        """The obligations of the confirmed plan, decided anew for the rules that are loaded now."""

    def difference(self, plan: Plan) -> str:
        """What differs, in words; "" where nothing does."""
