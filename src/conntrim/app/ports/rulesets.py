"""Where a rule set comes from."""

from __future__ import annotations

from typing import Protocol

from conntrim.core.model.ruleset import Ruleset


class Rulesets(Protocol):
    """One rule set: some files together, or what the kernel of a network namespace holds."""

    def read(self) -> Ruleset:
        """All its tables; what a listing could not tell is in its remarks.

        InputError with file and line where a file is wrong, HostError where the kernel's listing fails.
        """
