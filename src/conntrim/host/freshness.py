"""Whether the host is still as it was when a plan was made for it."""

from __future__ import annotations

from conntrim.app.budget import ticking
from conntrim.core.model.plan import Obligation, Plan
from conntrim.core.plan.freshness import around, differences, elsewhere
from conntrim.core.plan.loaded import loaded
from conntrim.host.circumstances import circumstances
from conntrim.host.facts import KernelFacts
from conntrim.host.listing import KernelListing


class HostFreshness:
    """Compares with the namespace `netns`; None: ours."""

    def __init__(self, netns: str | None) -> None:
        self.netns = netns

    def obligations(self, plan: Plan) -> tuple[Obligation, ...]:
        """Everything that can be asked of rules that are loaded, with the addresses and settings of now."""
        now = KernelListing().read(self.netns).ruleset
        return loaded(plan, now, KernelFacts().read(self.netns), ticking())

    def elsewhere(self, plan: Plan) -> str:
        """Why a plan is not for this place; "" where it is."""
        return elsewhere(plan, circumstances(self.netns))

    def differences(self, plan: Plan) -> tuple[str, ...]:
        """Everything that differs, in words; nothing where the plan tells nothing."""
        if not plan.ruleset_digest and not plan.circumstances.settings:
            return ()
        return differences(plan, KernelListing().read(self.netns).ruleset, circumstances(self.netns))

    def around(self, plan: Plan) -> tuple[str, ...]:
        """What differs of addresses and settings."""
        return around(plan, circumstances(self.netns))
