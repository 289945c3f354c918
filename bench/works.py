"""The works that are measured, each in processes of its own: seconds, CPU seconds of user and kernel apart, memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.awk import CENSUS, COUNT, LISTING
from conntrim.host.netns import entered

ROOT = Path(__file__).parent.parent
Measured = dict[str, Any]
Work = Callable[[], Measured]

LOCAL = "192.168.0.18,2001:db8::18"
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""As the command itself sets it."""


def measured(command: list[str], *, pipe_from: list[str] | None = None, netns: str | None = None) -> Measured:
    """Run a command (fed by another one) to its end: seconds, and CPU seconds of all of it."""
    before, start = os.times(), time.perf_counter()
    with entered(netns):
        feeder = subprocess.Popen(pipe_from, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) if pipe_from else None
        source = feeder.stdout if feeder else subprocess.DEVNULL
        process = subprocess.Popen(command, stdin=source, stdout=subprocess.DEVNULL)
    status = process.wait()
    if feeder:
        feeder.wait()
    seconds, after = time.perf_counter() - start, os.times()
    if status:
        raise SystemExit(f"{command[:4]} failed")
    return {
        "seconds": seconds,
        "user": after.children_user - before.children_user,
        "system": after.children_system - before.children_system,
    }


def child(work: str, netns: str) -> Measured:
    """One of `bench.child`'s works: the reading alone, without the start of Python."""
    command = [sys.executable, "-m", "bench.child", work, netns]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    result: Measured = json.loads(done.stdout)
    return result


def part_of(work: str, netns: str, part: str) -> Measured:
    """The CPU seconds of a part, which the work itself counted."""
    got = child(work, netns)
    return got | {"seconds": got[part]}


def live_works(netns: str) -> dict[str, Work]:
    """Works on the kernel's table, the same for every size."""
    return {
        "raw dump, thrown away": lambda: child("raw", netns),
        "census, exact": lambda: child("exact", netns),
        "whole-table parts of it": lambda: part_of("added", netns, "part"),
        "the census without them": lambda: part_of("added", netns, "rest"),
        "census, sampled": lambda: child("sampled", netns),
        "memory: conntrim census": lambda: child("cli", netns),
    }


def peer_works(netns: str) -> dict[str, Work]:
    """Whole commands on the kernel's table."""
    conntrim = [sys.executable, "-m", "conntrim", "census"]
    proc = ["/bin/sh", "-c", "cat /proc/thread-self/net/nf_conntrack"]
    return {
        "conntrim census --sample exact": lambda: measured([*conntrim, "--netns", netns, "--sample", "exact"]),
        "conntrim census --sample auto": lambda: measured([*conntrim, "--netns", netns]),
        "conntrack -L | mawk": lambda: measured(["mawk", LISTING], pipe_from=["conntrack", "-L"], netns=netns),
        "/proc | mawk": lambda: measured(["mawk", COUNT], pipe_from=proc, netns=netns),
    }


def text_works(saved: str) -> dict[str, Work]:
    """Works on the saved table, and the start of the program."""
    ours = [sys.executable, "-m", "conntrim", "census", saved, "--local", LOCAL]
    works: dict[str, Work] = {
        "text: conntrim census FILE": lambda: measured(ours),
        "text: mawk, the same count": lambda: measured(["mawk", CENSUS, saved]),
        "text: mawk, ports and states only": lambda: measured(["mawk", COUNT, saved]),
    }
    for peer in ("polars", "duckdb"):
        if find_spec(peer):
            command = [sys.executable, "-m", "bench.peers", peer, saved]
            works[f"text: {peer}, the same count"] = partial(measured, command)
        else:
            print(f"left out: {peer} is not there: pip install 'conntrim[bench]'", file=sys.stderr)
    return works | {
        "start: conntrim --version": lambda: measured([sys.executable, "-m", "conntrim", "--version"]),
        "start: python3 -c pass": lambda: measured([sys.executable, "-c", "pass"]),
    }


def rounds(works: dict[str, Work], times: int) -> dict[str, Measured]:
    """Every work in turn, so often: of the seconds the fastest counts, of CPU seconds the mean, which the clock's ticks
    blur less; of memory the largest.
    """
    found: dict[str, list[Measured]] = {name: [] for name in works}
    for turn in range(times):
        for name, work in works.items():
            print(f"\rround {turn + 1} of {times}: {name:40}", end="", file=sys.stderr, flush=True)
            found[name].append(work())
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return {name: summed_up(each) for name, each in found.items()}


def summed_up(each: list[Measured]) -> Measured:
    """The rounds of one work as one."""
    summary: Measured = {
        "seconds": min(got["seconds"] for got in each),
        "user": sum(got["user"] for got in each) / len(each),
        "system": sum(got["system"] for got in each) / len(each),
    }
    if "peak_mb" in each[0]:
        summary["peak_mb"] = max(got["peak_mb"] for got in each)
    return summary
