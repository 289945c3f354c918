"""What the verbs ask of a host's kernel: its facts, and a later reading of the numbers that change."""

from __future__ import annotations

from typing import Protocol

from conntrim.core.model.facts import HostFacts, Reading


class Facts(Protocol):
    """A host's conntrack facts, for one network namespace (None: the one we run in)."""

    def read(self, netns: str | None) -> HostFacts:
        """Everything that can be read now; what cannot is a remark. Log lines are another port's (`KernelLog`).

        HostError where the kernel has no conntrack at all, InputError where there is no such namespace.
        """

    def reading(self, netns: str | None, not_before: float) -> Reading:
        """Count and counters once more, when the clock of `Reading.seconds` has reached `not_before`."""
