"""A kernel's rule sets in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from conntrim.app.ports.listing import Listing
from conntrim.core.model.digest import digest
from conntrim.core.model.ruleset import Ruleset


@dataclass
class FakeListing:
    """`RulesetListing` with one rule set for each namespace; "" is our own. `asked` are the questions so far."""

    rulesets: dict[str, Ruleset] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def read(self, netns: str | None = None) -> Listing:
        """The namespace's rule set, an empty one where none was given."""
        self.asked.append(netns or "")
        ruleset = self.rulesets.get(netns or "", Ruleset())
        return Listing(ruleset, digest(ruleset))
