"""Made-up tables that change: entries with a birth, packets and an end, shown as frames of the beginning of a dump."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.conntrack import Status, TcpState
from conntrim.core.model.flows import ALL_COLUMNS, FlowTable, table_of
from conntrim.core.model.panel import Frame
from tests.unit.core.census.flows import HERE

Floats = npt.NDArray[np.float64]
FAR = parse_address("203.0.113.0")


@dataclass(frozen=True)
class Made:
    """Inbound TCP entries, one row each: born at `born`, gone at `gone` (seconds), to `port`, from client `client`.

    `timeout` is the time-out that every packet sets; packets come at birth and, where `every` is above 0, that often.
    """

    born: Floats
    gone: Floats
    port: npt.NDArray[np.uint16]
    client: npt.NDArray[np.int64]
    timeout: Floats
    every: Floats
    state: int = TcpState.ESTABLISHED

    def __len__(self) -> int:
        return len(self.born)

    def last_packet(self, at: float) -> Floats:
        """When each had its last packet before that time."""
        steps = np.where(self.every > 0, np.floor((at - self.born) / np.where(self.every > 0, self.every, 1)), 0)
        return self.born + steps * self.every


def joined_made(*parts: Made) -> Made:
    """Several as one."""

    def column(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    return Made(
        column("born"), column("gone"), column("port"), column("client"), column("timeout"), column("every"),
        parts[0].state,
    )  # fmt: skip


def steady(
    chance: np.random.Generator, rate: float, life: Floats | float, *, port: int, span: tuple[float, float],
    clients: int = 1_000, timeout: float | None = None, every: float = 0.0,
) -> Made:  # fmt: skip
    """Arrivals at a constant rate from `span[0]` to `span[1]`; each with the life, or one drawn from those given.

    Without a time-out an entry's own is its life: then it ends by itself.
    """
    number = chance.poisson(rate * (span[1] - span[0]))
    born = chance.uniform(*span, number)
    lives = np.full(number, life) if isinstance(life, float) else chance.choice(life, number)
    return Made(
        born, born + lives, np.full(number, port, np.uint16), chance.integers(0, clients, number),
        lives if timeout is None else np.full(number, timeout), np.full(number, every),
    )  # fmt: skip


def frames(
    made: Made, times: list[float], rows: int | None, chance: np.random.Generator, buckets: int = 65_536
) -> Iterator[Frame]:
    """The table at these times, as far as so many rows of a dump go (None: all), the kernel's order kept."""
    place = np.argsort(chance.random(len(made)))
    ids = chance.integers(0, 1 << 32, len(made))
    for at in times:
        there = place[(made.born[place] <= at) & (at < made.gone[place])]
        shown = there if rows is None else there[:rows]
        flows = _table(made, shown, ids, at)
        yield Frame(at, 0.01, 0.01, len(there), flows, len(shown) == len(there), True, buckets)


def _table(made: Made, shown: npt.NDArray[np.intp], ids: npt.NDArray[np.int64], at: float) -> FlowTable:
    rows = len(shown)
    far = np.uint64(FAR & (1 << 64) - 1) + made.client[shown].astype(np.uint64)
    ours = np.full(rows, HERE & (1 << 64) - 1, np.uint64)
    none = np.zeros(rows, np.uint64)
    filled: dict[str, npt.NDArray[Any]] = {
        "family": np.full(rows, Family.IPV4, np.uint8),
        "protocol": np.full(rows, 6, np.uint8),
        "src": np.column_stack([none, far]),
        "dst": np.column_stack([none, ours]),
        "reply_src": np.column_stack([none, ours]),
        "reply_dst": np.column_stack([none, far]),
        "sport": (40_000 + ids[shown] % 20_000).astype(np.uint16),
        "dport": made.port[shown],
        "state": np.full(rows, made.state, np.uint8),
        "status": np.full(rows, Status.SEEN_REPLY | Status.ASSURED, np.uint32),
        "timeout": np.maximum(made.last_packet(at)[shown] + made.timeout[shown] - at, 0).astype(np.uint32),
        "id": ids[shown].astype(np.uint32),
    }
    return table_of(rows, ALL_COLUMNS, filled)
