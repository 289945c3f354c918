"""Entries that somebody asks for: by protocol, original source and destination, ports, state; for whole blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conntrim.core.census.membership import Ends, Mask, Membership
from conntrim.core.census.states import NAMED, state_codes, state_name
from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import Status
from conntrim.core.model.flows import U64, FlowTable
from conntrim.core.model.intervals import Intervals

Range = tuple[int, int]

STATUS_WORDS: dict[str, tuple[Status, bool]] = {
    "assured": (Status.ASSURED, True),
    "unreplied": (Status.SEEN_REPLY, False),
    "offload": (Status.OFFLOAD | Status.HW_OFFLOAD, True),
    "snat": (Status.SRC_NAT, True),
    "dnat": (Status.DST_NAT, True),
}
"""Words of `state` that ask for bits of the status: which, and whether one of them is wanted set."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for; what is None is not asked. Ports are inclusive ranges, `state` a word in small letters."""

    protocol: int | None = None
    source: Intervals | None = None
    destination: Intervals | None = None
    sport: Range | None = None
    dport: Range | None = None
    state: str | None = None

    @property
    def columns(self) -> frozenset[str]:
        """Columns it needs beside those of a census."""
        return frozenset({"dst"}) if self.destination is not None else frozenset()

    @property
    def every(self) -> bool:
        """Whether nothing is asked for."""
        return self == Selection()

    def mask(self, block: FlowTable) -> Mask:
        """Which entries of a block are meant."""
        chosen = np.ones(len(block), np.bool_)
        if self.protocol is not None:
            chosen &= block.protocol == self.protocol
        for column, wanted in ((block.src, self.source), (block.dst, self.destination)):
            if wanted is not None:
                chosen &= _among(column, block, wanted)
        for ports, span in ((block.sport, self.sport), (block.dport, self.dport)):
            if span is not None:
                chosen &= (ports >= span[0]) & (ports <= span[1])
        if self.state is not None:
            chosen &= _in_state(block, self.state)
        return chosen


def _among(column: U64, block: FlowTable, wanted: Intervals) -> Mask:
    mapped, member = block.family == Family.IPV4, Membership(wanted)
    found = np.zeros(len(block), np.bool_)
    for family in (True, False):
        rows = mapped if family else ~mapped
        if rows.any():
            found[rows] = member(Ends.of(column[rows], mapped=family))
    return found


def _in_state(block: FlowTable, word: str) -> Mask:
    if word in STATUS_WORDS:
        bits, wanted = STATUS_WORDS[word]
        flagged: Mask = ((block.status & np.uint32(bits)) != 0) == wanted
        return flagged
    codes = state_codes(block)
    table = np.zeros((256, 256), np.bool_)
    for protocol in np.unique(block.protocol).tolist():
        for code in np.unique(codes[block.protocol == protocol]).tolist():
            name = state_name(protocol, code)
            table[protocol, code] = word in (name, name.partition(" ")[2])
    found: Mask = table[block.protocol, codes]
    return found


def state_words() -> frozenset[str]:
    """All words that a state may be asked for by."""
    by_name = (name.lower() for names in NAMED.values() for name in names)
    return frozenset({*STATUS_WORDS, *by_name, "replied", "stream"})
