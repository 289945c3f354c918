"""Fills a table in a namespace of its own and lets ours and others read it in turn; `make bench`.

Writes bench/latest.json and docs/bench.svg. Every round runs all works one after the other, so that what else happens
on the machine hits all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench import proofs
from bench.chart import chart
from bench.ratios import Run, growth_ratios, ratios, table
from bench.works import ROOT, child, live_works, peer_works, rounds, text_works
from conntrim.host.netns import entered
from conntrim.host.signals import orderly_end
from conntrim.lab.bulk import busy_site
from conntrim.lab.fill import track
from conntrim.lab.limits import global_limits
from conntrim.lab.netns import lab_host

ENTRIES = 855_360
"""The size that the source document gave its table."""

GROWTH = (10_000, 3_000_000)
FEW = 20_000
"""pyroute2 decodes so many entries; its time is scaled up, since a dump of all of them takes more than a minute."""

BUCKETS = 1 << 18

KERNEL_BYTES = 500
"""Of an entry, with room to spare: a size for which the machine has no memory is left out."""


@contextmanager
def filled(entries: int) -> Iterator[tuple[str, int]]:
    """A namespace with about so many entries, in a hash of the size that they need: its name, and how many."""
    # Never a smaller hash than the usual one: all namespaces of the machine share it.
    limits = {"nf_conntrack_max": entries * 2, "nf_conntrack_buckets": max(1 << (entries - 1).bit_length(), BUCKETS)}
    with global_limits(**limits), lab_host("bench") as host:
        track(host.name)
        host.run("ip", "address", "add", "192.168.0.18/32", "dev", "lo")
        host.run("ip", "address", "add", "2001:db8::18/128", "dev", "lo")
        print(f"filling a table with {entries:,} entries", file=sys.stderr)
        yield host.name, busy_site(host.name, entries)
        # The namespace goes some time after us; so many entries would crowd the hash when it has its old size again.
        host.run("conntrack", "-F")


def pyroute2(entries: int) -> Run:
    """pyroute2's dump of a small table, scaled to the number of entries."""
    with filled(FEW) as (netns, made):
        got = child("pyroute2", netns)
    return {what: got[what] * entries / made for what in ("seconds", "user", "system")}


def whole(entries: int, times: int) -> Run:
    """Everything at one size."""
    with filled(entries) as (netns, made), tempfile.TemporaryDirectory() as there:
        saved = f"{there}/nf_conntrack"
        with entered(netns), open("/proc/thread-self/net/nf_conntrack", "rb") as source, open(saved, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        works = rounds(live_works(netns) | peer_works(netns) | text_works(saved), times)
        size = os.path.getsize(saved) / 1e6
    works["pyroute2, every entry"] = pyroute2(made)
    return {"entries": made, "text_mb": size, "works": works, "ratios": ratios(works)}


def growth(entries: int, times: int) -> Run | None:
    """The live census at another size; None where the machine has too little memory for it."""
    with open("/proc/meminfo", encoding="ascii") as file:
        available = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
    if entries * KERNEL_BYTES > available // 2:
        print(f"left out: {entries:,} entries need {entries * KERNEL_BYTES >> 20:,} MB", file=sys.stderr)
        return None
    with filled(entries) as (netns, made):
        return {"entries": made, "works": rounds(live_works(netns), times), "ratios": []}


def machine() -> Run:
    """Where and when."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        cpu = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")
    day = datetime.now(UTC).date().isoformat()
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": os.uname().release, "date": day}


def measure(options: argparse.Namespace) -> Run:
    """The whole content of latest.json; each table is printed when it is there."""
    run = whole(options.entries, options.rounds)
    print(table(run))
    sizes = []
    for entries in options.growth:
        other = growth(entries, options.rounds)
        if other is None:
            continue
        if entries > options.entries:
            other["ratios"] = growth_ratios(run, other)
        print("\n" + table(other), flush=True)
        sizes.append(other)
    return {"kind": "bench", "machine": machine(), **run, "growth": sizes}


def main() -> None:
    """Measure, print, and write the files."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--entries", type=int, default=ENTRIES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", type=int, nargs="*", default=GROWTH, help="further table sizes")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "latest.json")
    parser.add_argument("--chart", type=Path, default=ROOT / "docs" / "bench.svg")
    options = parser.parse_args()
    content = measure(options)
    proved = proofs.rows(options.rounds)
    print("\n" + proofs.table(proved))
    content |= {"proofs": proofs.as_json(proved)}
    options.json.write_text(json.dumps(content, indent=2) + "\n")
    options.chart.write_text(chart(content))


if __name__ == "__main__":
    with orderly_end():
        main()
