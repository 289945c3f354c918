"""Whether the live rule set is still the one that a plan was made for."""

from __future__ import annotations

from conntrim.core.model.plan import Plan
from conntrim.core.plan.freshness import difference
from conntrim.host.listing import KernelListing


class HostFreshness:
    """Compares with the rules of the namespace `netns`; None: ours."""

    def __init__(self, netns: str | None) -> None:
        self.netns = netns

    def difference(self, plan: Plan) -> str:
        """What differs, in words; "" where nothing does."""
        return difference(plan, KernelListing().read(self.netns).ruleset) if plan.ruleset_digest else ""
