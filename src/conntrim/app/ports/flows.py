"""Where conntrack entries come from: a kernel, or a saved table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from conntrim.core.model.flows import FlowTable


class Flows(Protocol):
    """One reading of a conntrack table, as blocks that need not fit into memory together."""

    @property
    def source(self) -> str:
        """What was read: `kernel`, `kernel, netns NAME`, a file name or `-`."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What went wrong in the reading so far, in words; complete once `blocks` has ended."""

    @property
    def incomplete(self) -> bool:
        """Whether the reading so far missed entries, or met some twice."""

    @property
    def bad_lines(self) -> int:
        """Lines of a file, or messages of the kernel, that could not be read."""

    def population(self) -> int | None:
        """How many entries the table holds, None where only reading it to the end can tell."""

    def blocks(self, columns: frozenset[str], *, few: bool = False) -> Iterator[FlowTable]:
        """The entries, with at least these columns filled. InputError, HostError where nothing can be read.

        `few`: the caller may stop early, so blocks shall be small, and each a stretch of the table in its own order.
        """
