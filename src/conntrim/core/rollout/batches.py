"""Batches read again as operations: which rules they put into which chains, and where.

A journal keeps a plan as the texts that are loaded; this is the one place that reads them, the opposite of
`core/change/emit`. Texts of earlier releases are read alike.
"""

from __future__ import annotations

import re  # rule text: batches are read as they are written
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from conntrim.core.model.plan import HANDLE, POLICIES, Batch, slot_of_chain, slot_of_table
from conntrim.core.parse.listed import words_xt

_XT = re.compile(r"-([AI]) (\S+)(?: (\d+)(?= |$))?(?: (.*))?")
_NFT = re.compile(
    rf'(insert|add|replace) rule (\S+ \S+) (\S+)(?: index (\d+)| (handle) (?:\d+|{HANDLE} [^"]*"[^"]*"@))?(?: (.*))?'
)
_NFT_COMMENT = re.compile(r'\bcomment "([^"]*)"$')


@dataclass(frozen=True, slots=True)
class Put:
    """A rule that a batch puts into a chain: behind `behind` others, None where it stands at the end or by another.

    `table` is `filter` or, in nft, `inet filter`; `text` the rule as it was written.
    """

    program: str
    table: str
    chain: str
    text: str
    behind: int | None
    comment: str

    @property
    def place(self) -> str:
        """`iptables-nft-restore filter INPUT`, `nft inet filter input`."""
        return f"{self.program} {self.table} {self.chain}"

    @property
    def own(self) -> bool:
        """Whether the chain is ours."""
        return self.slot > 0

    @property
    def slot(self) -> int:
        """Which set of own names the chain's is of; 0: none."""
        if self.program != "nft":
            return slot_of_chain(self.chain)
        family, _, name = self.table.partition(" ")
        return slot_of_table(family, name)


class Phase(Enum):
    """What a batch of a confirm does in nft; all of iptables, and of releases before this one, is one placing."""

    KEEP = "the guard loses its end"
    PLACE = "plain rules come in"
    CLEAR = "guarded rules and their guard go"


_PHASES = {"flush set": Phase.KEEP, "delete rule": Phase.CLEAR}


def phase(batch: Batch) -> Phase:
    """What a batch of a confirm does."""
    return _PHASES.get(" ".join(batch.text.split(maxsplit=2)[:2]), Phase.PLACE)


def table_of(batch: Batch) -> str:
    """The table that a batch is about: `filter`, or `inet filter` in nft."""
    if batch.program == POLICIES:
        return POLICIES
    first = batch.text.partition("\n")[0]
    return " ".join(first.split()[2:4]) if batch.program == "nft" else first.removeprefix("*")


def checkable(batches: Iterable[Batch]) -> tuple[Batch, ...]:
    """The batches as they can be checked before any is loaded: those of nft build on each other, and are one."""
    found = tuple(batches)
    nft = "".join(batch.text for batch in found if batch.program == "nft")
    others = tuple(batch for batch in found if batch.program != "nft")
    return (*others, Batch("nft", nft)) if nft else others


def puts(batches: Iterable[Batch]) -> Iterator[Put]:
    """Every rule that the batches put into a chain, in their order."""
    for batch in batches:
        read = _nft if batch.program == "nft" else _xt
        yield from (put for line in batch.text.split("\n") if (put := read(batch, line)))


def _xt(batch: Batch, line: str) -> Put | None:
    if not (found := _XT.fullmatch(line)):
        return None
    how, chain, number, text = found.groups(default="")
    comment = dict(pairwise(words_xt(text))).get("--comment", "")
    return Put(batch.program, table_of(batch), chain, text, int(number or 1) - 1 if how == "I" else None, comment)


def _nft(batch: Batch, line: str) -> Put | None:
    if not (found := _NFT.fullmatch(line)):
        return None
    how, table, chain, index, by_another, text = found.groups(default="")
    told = _NFT_COMMENT.search(text)
    behind = int(index or 0) if how == "insert" and not by_another else None
    return Put(batch.program, table, chain, text, behind, told[1] if told else "")
