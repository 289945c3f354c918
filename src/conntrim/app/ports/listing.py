"""The rule sets that a kernel holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from conntrim.core.model.ruleset import Ruleset


@dataclass(frozen=True, slots=True)
class Listing:
    """A rule set as it was read, and its digest: two listings with the same digest say the same."""

    ruleset: Ruleset
    digest: str


class RulesetListing(Protocol):
    """Reads everything that filters, translates or marks packets in one network namespace."""

    def read(self, netns: str | None = None) -> Listing:
        """All tables of both iptables back ends and of nft, with ipsets; HostError without permission."""
        ...
