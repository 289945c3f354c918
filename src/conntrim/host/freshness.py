"""Whether the live rule set is still the one that a plan was made for."""

from __future__ import annotations

from conntrim.core.model.plan import Plan
from conntrim.core.plan.own import fingerprint
from conntrim.host.listing import KernelListing


class HostFreshness:
    """Compares with the rules of the namespace `netns`; None: ours."""

    def __init__(self, netns: str | None) -> None:
        self.netns = netns

    def difference(self, plan: Plan) -> str:
        """What differs, in words; "" where nothing does. Our own rules do not count: a trial may be loaded."""
        if not plan.ruleset_digest:
            return ""
        live = fingerprint(KernelListing().read(self.netns).ruleset)
        return "" if live == plan.ruleset_digest else "the rules have changed since the plan was made"
