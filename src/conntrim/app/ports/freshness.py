"""Whether a plan still fits the host that it was made for."""

from __future__ import annotations

from typing import Protocol

from conntrim.core.model.plan import Obligation, Plan


class Freshness(Protocol):
    """Compares the live rules, addresses and settings with those that a plan was made for."""

    def obligations(self, plan: Plan) -> tuple[Obligation, ...]:
        """The obligations of the confirmed plan, decided anew for the host as it is now."""

    def elsewhere(self, plan: Plan) -> str:
        """Why a plan is not for this host or namespace; "" where it is, or where it carries no host."""

    def differences(self, plan: Plan) -> tuple[str, ...]:
        """Everything that differs, in words."""

    def around(self, plan: Plan) -> tuple[str, ...]:
        """What differs of all but the rules."""
