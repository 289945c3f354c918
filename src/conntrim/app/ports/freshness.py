"""Whether a plan still fits the rule set that it was made for."""

from __future__ import annotations

from typing import Protocol

from conntrim.core.model.plan import Plan


class Freshness(Protocol):
    """Compares the live rule set with the one that a plan was made for."""

    def difference(self, plan: Plan) -> str:
        """What differs, in words; "" where nothing does."""
