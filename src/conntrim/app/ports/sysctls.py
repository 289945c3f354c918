"""Live sysctls."""

from __future__ import annotations

from typing import Protocol


class Sysctls(Protocol):
    """Sysctls by their dotted name, in the namespace that the rollout is about."""

    def read(self, key: str) -> int | None:
        """The live value, None where this kernel has no such key."""

    def set_by(self, key: str) -> tuple[str, ...]:
        """The files that set it at boot, as `FILE:LINE = VALUE`, the last one read last."""

    def write(self, key: str, value: int) -> None:
        """Set it. HostError where the kernel refuses, saying why."""
