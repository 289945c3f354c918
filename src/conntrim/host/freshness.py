"""Whether the live rule set is still the one that a plan was made for."""

from __future__ import annotations

from conntrim.core.model.plan import Obligation, Plan
from conntrim.core.plan.freshness import difference
from conntrim.core.plan.own import without_own
from conntrim.core.prove.judge import judge
from conntrim.host.addresses import local_addresses, local_ports
from conntrim.host.listing import KernelListing


class HostFreshness:
    """Compares with the rules of the namespace `netns`; None: ours."""

    def __init__(self, netns: str | None) -> None:
        self.netns = netns

    def standing(self, plan: Plan) -> tuple[Obligation, ...]:
        """All that packet sets decide, for the present rules with and without ours."""
        now = KernelListing().read(self.netns).ruleset
        local, ports = local_addresses(self.netns), local_ports(self.netns)
        return judge(without_own(now), now, plan.policy, local, ports).obligations

    def difference(self, plan: Plan) -> str:
        """What differs, in words; "" where nothing does."""
        return difference(plan, KernelListing().read(self.netns).ruleset) if plan.ruleset_digest else ""
