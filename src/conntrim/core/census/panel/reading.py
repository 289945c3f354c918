"""One frame as columns that can be compared with another frame's: who each entry is, whose it is, how idle it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conntrim.core.census.cells import OFFLOAD
from conntrim.core.census.classify import NEEDS as CLASSIFIER_NEEDS
from conntrim.core.census.classify import Classifier
from conntrim.core.census.states import UNKNOWN, state_codes, timeout_table
from conntrim.core.model.address import Family
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.flows import U32, U64, FlowTable
from conntrim.core.model.panel import Frame

PANEL_COLUMNS = CLASSIFIER_NEEDS | {"dst", "zone", "timeout", "id"}
"""What a reader must fill for a panel."""

ODD = np.uint64(0x9E3779B97F4A7C15)
"""Any odd number with well mixed bits: multiplying by it loses nothing."""

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Rows:
    """The distinct entries of one frame, in the dump's order.

    `key` is uint64[n], equal for the same entry only; `service` are codes for `unpack_service`, `client` uint64[n, 2]
    the address that opened the connection. `left` are the seconds shown as left of the time-out, `limit` the time-out
    that runs by the host's settings, NaN where it is not known or more is left.
    """

    seconds: float
    key: U64
    service: U32
    client: U64
    left: Floats
    limit: Floats

    def __len__(self) -> int:
        return len(self.key)

    def cut(self, length: int) -> Rows:
        """The first so many."""
        return self.at(slice(length))

    def at(self, where: slice | Places | npt.NDArray[np.bool_]) -> Rows:
        """Some of them."""
        return Rows(
            self.seconds, self.key[where], self.service[where], self.client[where], self.left[where], self.limit[where]
        )


class Reader:
    """Makes rows of frames, from one viewpoint."""

    def __init__(self, viewpoint: Viewpoint) -> None:
        self._classify = Classifier(viewpoint)
        self._timeouts = timeout_table(viewpoint.timeouts)

    def __call__(self, frame: Frame) -> Rows:
        """The rows of one frame; where the dump repeated an entry, its first place counts."""
        flows = frame.flows
        key = keys(flows)
        _, first = np.unique(key, return_index=True)
        if len(first) < len(key):
            first.sort()
            flows, key = flows.taken(first), key[first]
        service, turned = self._services(flows)
        left = flows.timeout.astype(np.float64)
        limit = self._timeouts[flows.protocol, state_codes(flows)].astype(np.float64)
        # Policies of `ct timeout` give time-outs of their own: then more may be left than the host's settings allow.
        known = (limit != UNKNOWN) & (left <= limit) & ((flows.status & np.uint32(OFFLOAD)) == 0)
        client = np.where(turned[:, None], flows.dst, flows.src)
        return Rows(frame.seconds, key, service, client, left, np.where(known, limit, np.nan))

    def _services(self, flows: FlowTable) -> tuple[U32, npt.NDArray[np.bool_]]:
        """Service codes, and which entries were picked up from their server's side."""
        service, turned = np.zeros(len(flows), np.uint32), np.zeros(len(flows), np.bool_)
        mapped = flows.family == Family.IPV4
        for chosen, is_mapped in ((mapped, True), (~mapped, False)):
            if chosen.any():
                seen = self._classify(flows.rows(chosen), mapped=is_mapped)
                service[chosen], turned[chosen] = seen.service, seen.picked_up
        return service, turned


def keys(flows: FlowTable) -> U64:
    """A number for each entry, the same in every reading: of its original tuple, its zone and its id.

    The kernel's id is drawn with a key that nobody knows, so nobody can make two entries with one number.
    """
    number = flows.id.astype(np.uint64) * ODD
    for column in (flows.src[:, 0], flows.src[:, 1], flows.dst[:, 0], flows.dst[:, 1], _rest(flows)):
        number = (number ^ (number >> np.uint64(29)) ^ column) * ODD
    mixed: U64 = number ^ (number >> np.uint64(32))
    return mixed


def _rest(flows: FlowTable) -> U64:
    """Ports, zone and protocol in one number: 16 + 16 + 16 + 8 bits, and a bit of the family."""
    packed = flows.sport.astype(np.uint64) << np.uint64(48) | flows.dport.astype(np.uint64) << np.uint64(32)
    packed |= flows.zone.astype(np.uint64) << np.uint64(16) | flows.protocol.astype(np.uint64) << np.uint64(8)
    rest: U64 = packed | (flows.family == Family.IPV4).astype(np.uint64)
    return rest
