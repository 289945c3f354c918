"""A table as the causes look at it: its specimen entry by entry, with clients and servers as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from conntrim.core.census.cells import NO_CLASS, seen_midway, unacknowledged
from conntrim.core.census.classify import DIRECTIONS, UNICAST
from conntrim.core.census.membership import Mask
from conntrim.core.census.sample import bound
from conntrim.core.census.specimen import Specimen
from conntrim.core.diagnose.wording import number, percent
from conntrim.core.model.address import format_address
from conntrim.core.model.address_types import PRIVATE
from conntrim.core.model.census import IDLE_STEPS
from conntrim.core.model.conntrack import Status, TcpState
from conntrim.core.model.facts import Owner
from conntrim.core.model.flows import U64
from conntrim.core.model.protocol import Protocol, protocol_name
from conntrim.core.model.service import Direction, Service

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Top:
    """The value that most of some entries have: the value, how many have it, how many values there are."""

    value: int
    entries: int
    distinct: int


NONE = Top(0, 0, 0)


class View:
    """Masks and numbers over the specimen's entries; counts are scaled to the whole table by `entries`."""

    def __init__(self, specimen: Specimen) -> None:
        self.specimen, self.flows = specimen, specimen.flows
        self.port, self.client_port = specimen.port.astype(np.int64), specimen.client_port.astype(np.int64)
        protocol, status = self.flows.protocol, self.flows.status
        self.protocol = protocol.astype(np.int64)
        self.tcp, self.udp = protocol == Protocol.TCP, protocol == Protocol.UDP
        self.replied = (status & np.uint32(Status.SEEN_REPLY)) != 0
        self.assured = (status & np.uint32(Status.ASSURED)) != 0
        self.snat = (status & np.uint32(Status.SRC_NAT)) != 0
        self.dnat = (status & np.uint32(Status.DST_NAT)) != 0
        self.translated = self.snat | self.dnat
        self.offloaded = (status & np.uint32(Status.OFFLOAD | Status.HW_OFFLOAD)) != 0
        self.unacknowledged, self.seen_midway = unacknowledged(self.flows), seen_midway(self.flows)
        self.unicast = specimen.kind == UNICAST
        self.picked_up = specimen.picked_up
        self.inbound, self.outbound = self._path(Direction.INBOUND), self._path(Direction.OUTBOUND)
        self.forwarded, self.loopback = self._path(Direction.FORWARDED), self._path(Direction.LOOPBACK)
        self.seconds_left = self.flows.timeout

    def __len__(self) -> int:
        return len(self.specimen)

    def _path(self, direction: Direction) -> Mask:
        found: Mask = self.specimen.path == DIRECTIONS.index(direction)
        return found

    def state(self, *states: TcpState) -> Mask:
        """TCP entries in one of the states."""
        found: Mask = self.tcp & np.isin(self.specimen.state, [int(state) for state in states])
        return found

    def idle_for(self, seconds: int) -> Mask:
        """Entries whose last packet is known to be at least so long ago; an edge of `IDLE_STEPS`."""
        idle = self.specimen.idle
        found: Mask = (idle > IDLE_STEPS.index(seconds)) & (idle != NO_CLASS)
        return found

    @cached_property
    def _addresses(self) -> tuple[U64, Ids, Ids]:
        both = np.concatenate([self.specimen.client, self.specimen.server])
        packed = np.ascontiguousarray(both).view("V16").reshape(-1)
        _, first, ids = np.unique(packed, return_index=True, return_inverse=True)
        ids = ids.astype(np.int64)
        return both[first], ids[: len(self)], ids[len(self) :]

    @property
    def client(self) -> Ids:
        """The client of each entry, as a number."""
        return self._addresses[1]

    @property
    def server(self) -> Ids:
        """The server of each entry, as a number of the same kind."""
        return self._addresses[2]

    def address(self, number: int) -> int:
        """A client or server as an address of 128 bits."""
        high, low = self._addresses[0][number].tolist()
        return int(high) << 64 | int(low)

    def name(self, number: int) -> str:
        """The same in its usual spelling."""
        return format_address(self.address(number))

    def entries(self, mask: Mask) -> int:
        """How many entries of the table these stand for."""
        count = int(np.count_nonzero(mask))
        return count if len(self) == self.specimen.total else round(count * self.specimen.weight)

    def count(self, mask: Mask) -> str:
        """The same in words."""
        return number(self.entries(mask))

    def different(self, values: Ids, mask: Mask) -> str:
        """How many different values these entries have, in words."""
        return number(self.distinct(values, mask))

    def percent(self, mask: Mask, of: Mask | None = None) -> str:
        """Their part of the table, or of others, in words."""
        return percent(self.share(mask, of), 1)

    def share(self, mask: Mask, of: Mask | None = None) -> float:
        """Their part of the table, or of others, 0 to 1."""
        whole = len(self) if of is None else int(np.count_nonzero(of))
        return int(np.count_nonzero(mask)) / whole if whole else 0.0

    def bound(self, mask: Mask) -> float:
        """By how much the share of these may be off, 0 to 1; 0 where the whole table is here."""
        if len(self) >= self.specimen.total or not len(self):
            return 0.0
        return bound(int(np.count_nonzero(mask)), len(self), self.specimen.total) / 100

    def top(self, values: Ids, mask: Mask) -> Top:
        """The commonest value among these entries; the smallest of those that are equally common."""
        tops = self.tops(values, mask, 1)
        return tops[0] if tops else NONE

    def tops(self, values: Ids, mask: Mask, most: int) -> list[Top]:
        """The commonest values, the most frequent first."""
        found, counts = np.unique(values[mask], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:most]
        return [Top(int(found[i]), int(counts[i]), len(found)) for i in order.tolist()]

    def private(self, values: Ids, mask: Mask) -> float:
        """The share of these clients or servers, each once, that have private addresses, 0 to 1."""
        each = self.distinct_values(values, mask)
        return sum(self.address(number) in PRIVATE for number in each) / max(len(each), 1)

    def distinct(self, values: Ids, mask: Mask) -> int:
        """How many different values these entries have."""
        return len(np.unique(values[mask]))

    def pairs(self, first: Ids, second: Ids) -> Ids:
        """Two numbers of each entry as one."""
        return first << np.int64(32) | second

    def service(self, mask: Mask) -> Service | None:
        """The service that most of these entries belong to."""
        code = self.specimen.path.astype(np.int64) << 24 | self.protocol << 16 | self.port
        top = self.top(code, mask)
        if not top.entries:
            return None
        return Service(DIRECTIONS[top.value >> 24], top.value >> 16 & 0xFF, top.value & 0xFFFF)

    def is_service(self, service: Service) -> Mask:
        """The entries of a service, whatever its servers."""
        at = self.specimen.path == DIRECTIONS.index(service.direction)
        found: Mask = at & (self.protocol == service.protocol) & (self.port == service.port)
        return found

    def ports_in(self, ports: Sequence[int]) -> Mask:
        """Entries with one of these server ports."""
        found: Mask = np.isin(self.port, list(ports))
        return found

    def clients_in(self, clients: Sequence[int]) -> Mask:
        """Entries of one of these clients."""
        found: Mask = np.isin(self.client, list(clients))
        return found

    def distinct_values(self, values: Ids, mask: Mask) -> list[int]:
        """The different values of these entries."""
        found: list[int] = np.unique(values[mask]).tolist()
        return found

    def by_service(self, mask: Mask, noun: str, most: int = 3) -> tuple[str, ...]:
        """`inbound tcp/80: 97 of 100 in time_wait`, the services with most of these entries first."""
        code = self.specimen.path.astype(np.int64) << 24 | self.protocol << 16 | self.port
        told = []
        for top in self.tops(code, mask, most):
            name = Service(DIRECTIONS[top.value >> 24], top.value >> 16 & 0xFF, top.value & 0xFFFF)
            of = self.entries(code == top.value)
            told.append(f"{name}: {self.entries(mask & (code == top.value)):,} of {of:,} {noun}")
        return tuple(told)

    def owners(self, mask: Mask, owners: Sequence[Owner]) -> tuple[str, ...]:
        """The programs that the commonest ports of these entries belong to, as far as they are known."""
        ports = {
            (top.value >> 32, top.value & 0xFFFF) for top in self.tops(self.pairs(self.protocol, self.port), mask, 3)
        }
        names = (owner.name for owner in owners if (owner.protocol, owner.port) in ports)
        return tuple(dict.fromkeys(names))

    def ports_named(self, mask: Mask, most: int = 3) -> str:
        """`tcp/443, tcp/80`: the commonest ports of these entries."""
        tops = self.tops(self.pairs(self.protocol, self.port), mask, most)
        return ", ".join(f"{protocol_name(top.value >> 32)}/{top.value & 0xFFFF}" for top in tops)

    def names(self, values: Ids, mask: Mask, most: int = 3) -> str:
        """The commonest clients or servers of these entries, by name."""
        return ", ".join(self.name(top.value) for top in self.tops(values, mask, most))
