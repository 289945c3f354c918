"""Real samples of real tables: the bounds hold, because the kernel's hash scatters the entries (K34)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from conntrim.app.census import take_census
from conntrim.core.census.sample import bound
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.intervals import Intervals
from conntrim.host.flows import KernelFlows
from conntrim.lab.bulk import fill_columns
from conntrim.lab.fill import Entry, track
from conntrim.lab.netns import lab_host

ENTRIES, ROWS = 6_000, 2_000
SHARES = {80: 3_300, 443: 1_800, 25: 600, 22: 300}
"""Server port to entries."""


def one_sample(seed: int) -> Iterator[bool]:
    """A fresh table of its own, one sample of it: whether each share is within its bound."""
    chance = np.random.default_rng(seed)
    with lab_host(f"sample{seed % 2}") as host:
        track(host.name)
        for port, entries in SHARES.items():
            web = Entry(6, "203.0.113.1", "192.0.2.18", 1, port, timeout=3_600)
            fill_columns(host.name, web, {"src": 0xCB000000 + chance.choice(1 << 24, entries, replace=False)})
        census = take_census(KernelFlows(host.name), Viewpoint(Intervals()), 10, sample=ROWS)
    assert census.sample is not None
    rows = census.sample.rows
    seen = {s.service.port: s.entries for s in census.services}
    for port, entries in SHARES.items():
        error = abs(seen.get(port, 0) / rows - entries / ENTRIES)
        yield 100 * error <= bound(seen.get(port, 0), rows, ENTRIES)


SAMPLES = int(os.environ.get("CONNTRIM_SAMPLES", "100"))
"""Real samples; CONNTRIM_SAMPLES=1000 takes some minutes."""

LEAST = 0.93
"""95 % are promised, 98 % meant: if the four shares of a sample held or failed together, a hundred samples would stay
under 93 % once in a thousand runs; they do not.
"""


def test_the_stated_bounds_hold_in_a_hundred_real_samples() -> None:
    """A hundred tables with four services each: the shares are within their 95 % bounds as often as that says."""
    held = [ok for seed in range(SAMPLES) for ok in one_sample(seed)]
    print(f"\n{SAMPLES:,} real samples: {np.mean(held):.2%} of {len(held):,} shares within their bounds")
    assert len(held) == 4 * SAMPLES
    assert np.mean(held) >= LEAST


def test_one_huge_peer_and_zones_are_sampled_as_well() -> None:
    """Half of the entries belong to one peer, a fifth to another zone, made one after the other: the hash scatters them
    all the same, and the client's share by the summary is that of the peer. Three shares of ten tables are within three
    times their bounds, which chance leaves once in a million.
    """
    worst = 0.0
    for seed in range(10):
        chance = np.random.default_rng(1_000 + seed)
        with lab_host(f"sample{seed % 2}") as host:
            track(host.name)
            one = Entry(6, "203.0.113.1", "192.0.2.18", 1, 80, timeout=3_600)
            fill_columns(host.name, one, {"sport": chance.permutation(np.arange(1_024, 1_024 + 3_000))})
            zoned = Entry(17, "203.0.113.1", "192.0.2.18", 1, 53, timeout=3_600, zone=7)
            fill_columns(host.name, zoned, {"src": 0xCB000000 + chance.choice(1 << 24, 1_200, replace=False)})
            far = Entry(6, "203.0.113.1", "192.0.2.18", 1, 443, timeout=3_600)
            fill_columns(host.name, far, {"src": 0xCC000000 + chance.choice(1 << 24, 1_800, replace=False)})
            census = take_census(KernelFlows(host.name), Viewpoint(Intervals()), 10, sample=ROWS)
        assert census.sample is not None
        rows = census.sample.rows
        peers, zones = ({row.key: row.entries for row in t.rows} for t in (census.peers, census.zones))
        clients = {row.key: row.entries for row in census.clients.rows}
        assert (clients["203.0.113.1"], census.clients.low_by) == (peers["203.0.113.1"], 0)
        web = next(s.entries for s in census.services if s.service.port == 443)
        for seen, entries in ((peers["203.0.113.1"], 3_000), (zones["7"], 1_200), (web, 1_800)):
            worst = max(worst, 100 * abs(seen / rows - entries / ENTRIES) / bound(seen, rows, ENTRIES))
    assert worst < 3
