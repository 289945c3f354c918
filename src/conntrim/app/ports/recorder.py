"""Where a record is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from conntrim.core.model.facts import HostFacts, Reading
from conntrim.core.model.panel import Frame


class Recorder(Protocol):
    """One new file; what was handed over stays, whatever happens afterwards. HostError where it cannot be written."""

    path: str

    def facts(self, facts: HostFacts) -> None:
        """The host's facts."""

    def text(self, kind: str, name: str, body: str) -> None:
        """A text of the host: `rules`, by the program that printed them."""

    def interfaces(self, interfaces: Mapping[str, str]) -> None:
        """The devices behind which addresses are."""

    def frame(self, frame: Frame, reading: Reading) -> None:
        """One frame, and the changing numbers of its time."""

    def bytes(self) -> int:
        """How large it is."""

    def close(self) -> None:
        """That is all."""
