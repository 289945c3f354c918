"""Taking a census: blocks of a flow table in, one at a time, a `Census` out. What it keeps is bounded by the number of
distinct services, states and peers, not by the number of entries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from conntrim.core.census.cells import (
    NO_CLASS,
    ODD_PORT,
    OFFLOAD,
    PICKED_UP,
    REDIRECTED,
    SERVICE_AT,
    STATE_AT,
    TRANSLATED,
    UNREPLIED,
    cells,
    idle_class,
    packed,
    unacknowledged,
)
from conntrim.core.census.classify import DIRECTIONS, Classifier, unpack_service
from conntrim.core.census.classify import NEEDS as CLASSIFIER_NEEDS
from conntrim.core.census.heavy import HeavyTally, names_of, pair_names_of
from conntrim.core.census.peers import FEW, NAMED, FarEnds, PeerTally
from conntrim.core.census.specimen import Specimen, SpecimenTaker
from conntrim.core.census.states import UNKNOWN, state_codes, state_name, timeout_table
from conntrim.core.census.tally import Counts, Tally, sum_by
from conntrim.core.census.timeouts import shown_timeouts
from conntrim.core.model.address import Family, format_range
from conntrim.core.model.census import (
    IDLE_STEPS,
    Breakdown,
    Census,
    Row,
    Sample,
    ServiceCount,
    StateCount,
    Viewpoint,
)
from conntrim.core.model.conntrack import Status, TcpState
from conntrim.core.model.flows import U8, FlowTable, joined
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import Protocol, protocol_name
from conntrim.core.model.service import Direction

CENSUS_COLUMNS = CLASSIFIER_NEEDS | {"timeout", "zone", "tcp_flags", "reply_tcp_flags"}
"""What a reader must fill for a census."""

COMPARED_ROWS = 1024
"""Rows whose counts are kept apart, to compare the parts of a sample with each other."""

TOGETHER = 1 << 15
"""Entries that are counted at once: blocks of a few hundred would cost more calls than work."""

KINDS = 251
"""A prime number, so that hardly two of the usual ports and states fall together."""

LONGEST = IDLE_STEPS[-1]
"""Idle seconds from here on are all in the last class."""

UNACKNOWLEDGED = 300
"""Seconds: the time-out of a connection that waits for an acknowledgement, or lost packets (K31)."""


class CensusTaker:
    """Counts blocks from one viewpoint; `top` bounds the rows of every table of the census."""

    def __init__(self, viewpoint: Viewpoint, top: int) -> None:
        self._viewpoint, self._top = viewpoint, top
        self._of_listing = viewpoint.inferred or viewpoint.saved
        self._classify = Classifier(viewpoint)
        self._timeouts = timeout_table(viewpoint.timeouts)
        self._entries, self._zones, self._peers = Tally(), Tally(), PeerTally()
        self._heavy, self._specimen = HeavyTally(), SpecimenTaker()
        self._unacknowledged = viewpoint.timeouts.get("nf_conntrack_tcp_timeout_unacknowledged", UNACKNOWLEDGED)
        established = int(self._timeouts[Protocol.TCP, TcpState.ESTABLISHED])
        self._waits = established if established > 2 * UNACKNOWLEDGED else 0
        self._no_zone, self._flagged = [0, 0], False
        self._waiting: dict[bool, list[FlowTable]] = {False: [], True: []}
        self._steps = np.repeat(np.arange(len(IDLE_STEPS) + 1, dtype=np.uint8), np.diff((0, *IDLE_STEPS, LONGEST + 1)))
        self.compared: list[Counts] = []
        self.total = 0

    def add(self, block: FlowTable, *, compare: bool = False) -> None:
        """Count one block, which has the columns of `CENSUS_COLUMNS`; `compare`: keep its own counts in `compared`."""
        if compare:
            self._compare(_kinds(block), len(block))
        self.total += len(block)
        mapped = block.family == Family.IPV4
        if mapped.all() or not mapped.any():
            self._wait(block, mapped=bool(mapped.any()))
            return
        self._wait(block.rows(mapped), mapped=True)
        self._wait(block.rows(~mapped), mapped=False)

    def _wait(self, block: FlowTable, *, mapped: bool) -> None:
        """Keep entries of one family until there are enough to be counted together."""
        self._waiting[mapped].append(block)
        if sum(map(len, self._waiting[mapped])) >= TOGETHER:
            self._count(mapped=mapped)

    def _count(self, *, mapped: bool) -> None:
        waiting, self._waiting[mapped] = self._waiting[mapped], []
        if waiting:
            self._add(joined(waiting), mapped=mapped)

    def _count_all(self) -> None:
        """Count what was kept."""
        for mapped in (False, True):
            self._count(mapped=mapped)

    def _compare(self, kinds: Counts, rows: int) -> None:
        """Put a block's counts of protocol and state to those of its neighbours, until there are enough to compare."""
        if self.compared and self.compared[-1].sum() + rows <= COMPARED_ROWS:
            self.compared[-1] = self.compared[-1] + kinds
        else:
            self.compared.append(kinds)

    def largest(self) -> int:
        """The entries of the largest service."""
        self._count_all()
        keys, counts = self._entries.items()
        return int(sum_by(keys >> np.uint64(SERVICE_AT), counts)[1].max(initial=0))

    def _add(self, block: FlowTable, *, mapped: bool) -> None:
        """Count entries of one family."""
        seen, codes = self._classify(block, mapped=mapped), state_codes(block)
        idle = self._idle(block, codes)
        unreplied = (block.status & np.uint32(Status.SEEN_REPLY)) == 0
        self._entries.add(packed(block, seen, codes, idle))
        self._flagged = self._flagged or bool(block.tcp_flags.any())
        self._peers.add(seen.service, seen.far, unreplied)
        self._heavy.add(seen, unreplied)
        self._specimen.add(block, seen, codes, idle)
        if block.zone.any():
            self._zones.add(block.zone.astype(np.uint64) << np.uint64(1) | unreplied)
        else:
            unanswered = int(unreplied.sum())
            self._no_zone[0] += len(block)
            self._no_zone[1] += unanswered

    def _idle(self, block: FlowTable, codes: U8) -> U8:
        """The class of the time since each entry's last packet, as far as it follows from its time-out.

        One that waits for an acknowledgement runs on the shorter time-out of those (K155). So may any other ESTABLISHED
        one with no more than that left, for lost packets.
        """
        limit = self._timeouts[block.protocol, codes]
        waits = unacknowledged(block) & (limit > self._unacknowledged)
        limit = np.where(waits, self._unacknowledged, limit)
        idle: U8 = self._steps[np.clip(limit - block.timeout.astype(np.int32), 0, LONGEST)]
        unknown = (limit == UNKNOWN) | ((block.status & np.uint32(OFFLOAD)) != 0)
        if self._waits:
            unknown |= (limit == self._waits) & (block.timeout <= UNACKNOWLEDGED)
        idle[unknown] = NO_CLASS
        return idle

    def census(
        self,
        source: str,
        *,
        bad_lines: int = 0,
        sample: Sample | None = None,
        remarks: Iterable[str] = (),
        incomplete: bool = False,
    ) -> Census:
        """The census of what was added so far."""
        self._count_all()
        services, rest = self._services()
        specimen = self.specimen(self.total)
        names = names_of(np.concatenate([specimen.client, specimen.server]))
        pairs = pair_names_of(specimen.client, specimen.server)
        return Census(
            source=source,
            total=self.total,
            services=services,
            other_services=rest[0],
            other_entries=rest[1],
            states=self._states(),
            peers=self._peers.breakdown(self._top),
            zones=self._zone_rows(),
            local=tuple(format_range(*r) for r in self._viewpoint.local.ranges),
            local_inferred=self._viewpoint.inferred,
            bad_lines=bad_lines,
            sample=sample,
            remarks=(*remarks, *self._peers.remarks),
            incomplete=incomplete,
            cells=cells(*self._entries.items()),
            clients=self._heavy.clients(self._top, names),
            servers=self._heavy.servers(self._top, names),
            pairs=self._heavy.pairs(self._top, pairs),
            ports=self._ports(),
            local_evidence=self._viewpoint.evidence,
            local_doubt=self._viewpoint.doubt,
            flagged=self._flagged,
            timeouts_seen=shown_timeouts(self._viewpoint.timeouts) if self._of_listing else {},
        )

    def specimen(self, total: int) -> Specimen:
        """Entries of what was added so far, which stand for so many."""
        self._count_all()
        return self._specimen.specimen(total)

    def _services(self) -> tuple[tuple[ServiceCount, ...], tuple[int, int]]:
        """The largest services, and how many others there are with how many entries."""
        keys, counts = self._entries.items()
        by_service: dict[int, dict[int, int]] = defaultdict(dict)
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            by_service[key >> SERVICE_AT][key & (1 << SERVICE_AT) - 1] = count
        sizes = sorted(((sum(parts.values()), code) for code, parts in by_service.items()), key=lambda s: (-s[0], s[1]))
        shown, rest = sizes[: self._top], sizes[self._top :]
        peers = self._peers.by_service({code: NAMED * _is_outbound(code) for _, code in shown})
        rows = tuple(
            _service_count(code, by_service[code], peers[code], pinnable=self._peers.complete(code))
            for _, code in shown
        )
        return rows, (len(rest), sum(size for size, _ in rest))

    def _states(self) -> Breakdown:
        keys, counts = self._entries.items()
        rows: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            row = rows[state_name(key >> SERVICE_AT + 16 & 0xFF, key >> STATE_AT & 0xFF)]
            row[0] += count
            row[1] += count * (key & UNREPLIED)
        return breakdown((Row(name, *row) for name, row in rows.items()), self._top)

    def _ports(self) -> Breakdown:
        """By protocol and server's port, whatever the direction."""
        keys, counts = self._entries.items()
        rows: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        wanted = keys >> np.uint64(SERVICE_AT) << np.uint64(1) | keys & np.uint64(UNREPLIED)
        for key, count in zip(*(part.tolist() for part in sum_by(wanted, counts)), strict=True):
            row = rows[f"{protocol_name(key >> 17 & 0xFF)}/{key >> 1 & 0xFFFF}"]
            row[0] += count
            row[1] += count * (key & 1)
        return breakdown((Row(name, *row) for name, row in rows.items()), self._top)

    def _zone_rows(self) -> Breakdown:
        keys, counts = self._zones.items()
        rows: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        if self._no_zone[0]:
            rows[0] = list(self._no_zone)
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            rows[key >> 1][0] += count
            rows[key >> 1][1] += count * (key & 1)
        return breakdown((Row(str(zone), *row) for zone, row in rows.items()), self._top)


def _kinds(block: FlowTable) -> Counts:
    """How many entries of each of `KINDS` kinds a block holds: protocol, state and server port, folded together."""
    folded = block.protocol.astype(np.intp) * 31 + block.state * np.intp(7) + block.dport
    counts: Counts = np.bincount(folded % KINDS, minlength=KINDS)
    return counts


def breakdown(rows: Iterable[Row], top: int) -> Breakdown:
    """The largest rows and the honest rest; ties in the order of their keys."""
    ordered = sorted(rows, key=lambda row: (-row.entries, row.key))
    return Breakdown(tuple(ordered[:top]), len(ordered[top:]), sum(row.entries for row in ordered[top:]))


def _service_count(code: int, parts: dict[int, int], peers: FarEnds, *, pinnable: bool) -> ServiceCount:
    """One service from its packed counts and its far ends' addresses, which are all of them if `pinnable`."""
    outbound = _is_outbound(code)
    servers = Intervals.of(*peers.few) if outbound and pinnable and peers.number <= NAMED else Intervals()
    return ServiceCount(
        service=unpack_service(code, servers if peers.number <= FEW else Intervals()),
        entries=sum(parts.values()),
        unreplied=sum(n for key, n in parts.items() if key & UNREPLIED),
        translated=sum(n for key, n in parts.items() if key & TRANSLATED),
        picked_up=sum(n for key, n in parts.items() if key & PICKED_UP),
        states=_state_counts(code >> 16 & 0xFF, parts),
        addresses=peers.number if outbound else 0,
        peers=peers.number,
        servers=servers,
        odd_ports=sum(n for key, n in parts.items() if key & ODD_PORT) if outbound else 0,
        redirected=sum(n for key, n in parts.items() if key & REDIRECTED),
    )


def _is_outbound(code: int) -> bool:
    return DIRECTIONS[code >> 24] is Direction.OUTBOUND


def _state_counts(protocol: int, parts: dict[int, int]) -> tuple[StateCount, ...]:
    """A service's states, the largest first."""
    totals: dict[str, int] = defaultdict(int)
    idle: dict[str, list[int]] = defaultdict(lambda: [0] * (len(IDLE_STEPS) + 1))
    for key, count in parts.items():
        name, step = state_name(protocol, key >> STATE_AT), idle_class(key)
        totals[name] += count
        if step != NO_CLASS:
            idle[name][step] += count
    counts = (StateCount(name, entries, tuple(idle[name])) for name, entries in totals.items())
    return tuple(sorted(counts, key=lambda c: (-c.entries, c.state)))
