"""A rule set in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from conntrim.core.model.ruleset import Ruleset


@dataclass
class FakeRulesets:
    """Answers with `ruleset`."""

    ruleset: Ruleset = field(default_factory=Ruleset)

    def read(self) -> Ruleset:
        """The rule set."""
        return self.ruleset
