"""Whose table this is, and what its time-outs are, as far as its own entries tell.

Addresses that translated sources are answered at, and such as talk to themselves, are the host's own for certain. What
takes part in nearly every entry is so most likely; where the flows allow another reading as well, that is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from conntrim.core.census.classify import UNICAST, kinds
from conntrim.core.census.membership import Ends, Mask, Membership
from conntrim.core.census.timeouts import seen_timeouts
from conntrim.core.model.address import Family, format_address, parse_address
from conntrim.core.model.address_types import LOOPBACK, PRIVATE
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.conntrack import Status
from conntrim.core.model.flows import U64, FlowTable, joined
from conntrim.core.model.intervals import Intervals

ENOUGH = 50_000
"""Entries after which a guess gets no better."""

EXPLAINED = 0.98
"""Share of the entries that the addresses found must take part in; then the search ends."""

PROMINENT = 0.3
"""An address must take part in this share of the entries not yet explained; else those are forwarded ones."""

MOSTLY = 0.9
"""Where prominent addresses explain less than this, others' traffic passes here too: they may be others themselves."""

LEAST = 3
"""Beside certain addresses one that is only prominent must take part in so many entries."""

RESOLVERS = Intervals.of(
    *map(parse_address, (
        "8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "149.112.112.112", "208.67.222.222", "208.67.220.220",
        "114.114.114.114", "223.5.5.5", "223.6.6.6", "119.29.29.29", "94.140.14.14", "77.88.8.8", "4.2.2.2",
        "2001:4860:4860::8888", "2001:4860:4860::8844", "2606:4700:4700::1111", "2620:fe::fe",
    ))
)  # fmt: skip
"""Resolvers that everybody asks: their own tables are in nobody's hands."""

LOCAL_ONLY = Membership(LOOPBACK)

Ids = npt.NDArray[np.intp]


def infer_viewpoint(blocks: Sequence[FlowTable]) -> Viewpoint:
    """The host's addresses and time-outs as its first entries show them; no address where there are no entries."""
    table = joined([block for block in blocks if len(block)])
    timeouts = seen_timeouts(table)
    guess = _Guess(table)
    local = guess.local() if len(table) else Intervals()
    return Viewpoint(local, timeouts=timeouts, inferred=True, evidence=tuple(guess.evidence), doubt=guess.doubt)


@dataclass(slots=True, init=False)
class _Guess:
    """The ends of each entry as numbers of `addresses`, and what was found out."""

    addresses: U64
    src: Ids
    answerer: Ids
    translated_to: Ids
    snat: Mask
    dnat: Mask
    plain: Mask
    evidence: list[str]
    doubt: str

    def __init__(self, table: FlowTable) -> None:
        self.evidence, self.doubt = [], ""
        columns = [table.src, table.reply_src, table.reply_dst if "reply_dst" in table.columns else table.src]
        self.addresses, ids = _numbered(np.concatenate(columns))
        self.src, self.answerer, self.translated_to = ids.reshape(3, -1)
        self.snat = self.translated_to != self.src
        self.dnat = (table.status & np.uint32(Status.DST_NAT)) != 0
        self.plain = ~self.snat & ~self.dnat & _unicast(table)

    def local(self) -> Intervals:
        """The addresses, the certain ones first."""
        certain = [*self._at_both_ends(), *self._translated()]
        left = self.plain & ~self._with(certain)
        total = int(left.sum())
        likely = list(self._prominent(left, certain=bool(certain)))
        if likely and not certain:
            self.doubt = self._doubt(likely, left, total)
        found = dict.fromkeys([*certain, *likely])
        return Intervals.of(*(self._address(i) for i in found))

    def _at_both_ends(self) -> Iterator[int]:
        """Who talks to itself does so over lo."""
        itself, counts = np.unique(self.src[self.plain & (self.src == self.answerer)], return_counts=True)
        for i, count in zip(itself.tolist(), counts.tolist(), strict=True):
            self.evidence.append(f"{self._name(i)} talks to itself in {count:,} entries")
            yield i

    def _translated(self) -> Iterator[int]:
        """Answers to a translated source come to an address of whoever translates."""
        ends, counts = np.unique(self.translated_to[self.snat], return_counts=True)
        for i, count in sorted(zip(ends.tolist(), counts.tolist(), strict=True), key=lambda end: -end[1]):
            self.evidence.append(
                f"{self._name(i)} is where {count:,} translated source{'s' * (count != 1)} (SNAT) "
                f"{'are' if count != 1 else 'is'} answered"
            )
            yield i

    def _prominent(self, left: Mask, *, certain: bool) -> Iterator[int]:
        """Who takes part in most of what is left. What translated traffic goes to or comes from is another host."""
        others = {*np.unique(self.src[self.snat]).tolist(), *np.unique(self.answerer[self.snat]).tolist()}
        others |= {i for i in np.unique(self.answerer[left]).tolist() if self._is(i, RESOLVERS)}
        least, total = LEAST if certain else 1, int(left.sum())
        while left.sum() > (1 - EXPLAINED) * total:
            best = self._most_prominent(left, others)
            takes_part = ((self.src == best) | (self.answerer == best)) & left
            if best < 0 or takes_part.sum() < max(least, PROMINENT * left.sum()):
                return
            self.evidence.append(f"{self._name(best)} takes part in {int(takes_part.sum()):,} of {total:,} entries")
            yield best
            left = left & ~takes_part

    def _most_prominent(self, left: Mask, others: set[int]) -> int:
        """The address that takes part in most of these entries, the origin's before the answerer's; -1 where none."""
        size = len(self.addresses)
        as_origin = np.bincount(self.src[left], minlength=size)
        loops = np.bincount(self.src[left & (self.src == self.answerer)], minlength=size)
        either = as_origin + np.bincount(self.answerer[left], minlength=size) - loops
        either[list(others)] = 0
        if not either.any():
            return -1
        candidates = np.flatnonzero(either == either.max())
        return int(candidates[np.argmax(as_origin[candidates])])

    def _doubt(self, likely: list[int], left: Mask, total: int) -> str:
        """Another reading of the same flows, where nothing but prominence speaks for these addresses."""
        explained = int((self._with(likely) & left).sum())
        first = likely[0]
        as_origin, as_answerer = self.src[left] == first, self.answerer[left] == first
        if explained < MOSTLY * total:
            return f"{self._name(first)} may as well be another host whose traffic is forwarded here"
        other = np.where(as_origin, self.answerer[left], self.src[left])
        if len(likely) == 1 and len(np.unique(other[as_origin | as_answerer])) == 1:
            return f"all is between {self._name(first)} and {self._name(int(other[0]))}: either may be this host"
        if near := next(self._asked_by_neighbours(likely, left), None):
            return f"{near[0]} may as well be another host, which neighbours of {near[1]} reach through this host"
        clients = np.unique(self.src[left])
        outside = not as_origin.any() and not self._is(first, PRIVATE)
        if outside and all(self._is(i, PRIVATE) for i in clients.tolist()):
            return f"{self._name(first)} may as well be a server outside that these clients reach through this host"
        return ""

    def _asked_by_neighbours(self, likely: list[int], left: Mask) -> Iterator[tuple[str, str]]:
        """Addresses whose every partner is in the network of another one of these, in which they are not themselves."""
        network = self._networks()
        for one, other in permutations(likely, 2):
            asking = np.unique(self.src[left & (self.answerer == one)])
            opens = (left & (self.src == one)).any()
            if not opens and network[one] != network[other] and (network[asking] == network[other]).all():
                yield self._name(one), self._name(other)

    def _networks(self) -> U64:
        """Of each address, what its neighbours share: /24 of IPv4, /64 of IPv6."""
        high, low = self.addresses[:, 0], self.addresses[:, 1]
        return np.where(high == 0, low >> np.uint64(8), high)

    def _with(self, ends: Sequence[int]) -> Mask:
        found: Mask = np.isin(self.src, ends) | np.isin(self.answerer, ends)
        return found

    def _address(self, i: int) -> int:
        high, low = self.addresses[i].tolist()
        return int(high) << 64 | int(low)

    def _is(self, i: int, among: Intervals) -> bool:
        return self._address(i) in among

    def _name(self, i: int) -> str:
        return format_address(self._address(i))


def _numbered(column: U64) -> tuple[U64, Ids]:
    """The distinct addresses of uint64[n, 2], and which each row is."""
    packed = np.ascontiguousarray(column).view("V16").reshape(-1)
    _, first, ids = np.unique(packed, return_index=True, return_inverse=True)
    return column[first], ids


def _unicast(table: FlowTable) -> Mask:
    """Which entries are not addressed to a group, nor from a loopback address, which every host has."""
    found = np.ones(len(table), np.bool_)
    unreplied = (table.status & np.uint32(Status.SEEN_REPLY)) == 0
    mapped = table.family == Family.IPV4
    for rows, v4 in ((mapped, True), (~mapped, False)):
        if rows.any():
            src, answerer = (Ends.of(column[rows], mapped=v4) for column in (table.src, table.reply_src))
            found[rows] = (kinds(src, answerer, unreplied[rows]) == UNICAST) & ~LOCAL_ONLY(src)
    return found
