"""Fills a table in a namespace of its own and lets ours and others read it in turn; `make bench`.

Writes bench/latest.json and docs/bench.svg. Every round runs all works one after the other, so that what else happens
on the machine hits all of them; the fastest round of each counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.chart import chart
from conntrim.host.netns import entered
from conntrim.host.signals import orderly_end
from conntrim.lab.bulk import busy_site
from conntrim.lab.fill import track
from conntrim.lab.limits import global_limits
from conntrim.lab.netns import lab_host

ROOT = Path(__file__).parent.parent
ENTRIES = 855_360
"""The size that the source document gave its table."""

COUNT = r"""
{ key = $3; for (i = 5; i <= 8; i++) if ($i ~ /^dport=/) { split($i, d, "="); key = key "/" d[2]; break }
  n[key " " ($3 == "tcp" ? $6 : "")]++ }
END { for (k in n) print k, n[k] }
"""
CENSUS = r"""
{ at = ($3 == "tcp") ? 7 : 6; split($at, s, "="); split($(at+3), d, "="); split($(at+1), t, "=")
  un = ($(at+4) == "[UNREPLIED]"); split($(at+4+un), r, "=")
  from = (s[2] in ours); to = (r[2] in ours)
  dir = from ? (to ? "loopback" : "outbound") : (to ? "inbound" : "forwarded")
  service = dir " " $3 "/" d[2]; far = from ? r[2] : s[2]
  entries[service " " ($3 == "tcp" ? $6 : "") " " un]++; peers[far]++
  if (!((service, far) in seen)) { seen[service, far] = 1; ends[service]++ }
  for (i = NF; i > NF - 4; i--) if ($i ~ /^zone=/) zones[$i]++ }
END { for (k in entries) print k, entries[k]; for (k in zones) print k, zones[k]; for (k in ends) print k, ends[k]
      for (k in peers) if (peers[k] > top) top = peers[k]; print top }
"""
"""What our census counts, in awk: services by direction, states, unreplied, peers, zones."""

OURS = 'BEGIN { ours["192.168.0.18"] = ours["127.0.0.1"] = ours["2001:0db8:0000:0000:0000:0000:0000:0018"] = 1 }'
LISTING = COUNT.replace("$3", "$1").replace("$6", "$4").replace("i = 5; i <= 8", "i = 4; i <= 8")


def measured(command: list[str], *, pipe_from: list[str] | None = None, netns: str | None = None) -> dict[str, Any]:
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


def child(work: str, netns: str) -> dict[str, Any]:
    """One of `bench.child`'s works."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.child", work, netns], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def works(netns: str, saved: str) -> dict[str, Any]:
    """Name to what measures it."""
    conntrim = [sys.executable, "-m", "conntrim", "census"]
    proc = ["/bin/sh", "-c", "cat /proc/thread-self/net/nf_conntrack"]
    return {
        "raw dump, thrown away": lambda: child("raw", netns),
        "census, exact": lambda: child("exact", netns),
        "census, sampled": lambda: child("sampled", netns),
        "memory: conntrim census": lambda: child("cli", netns),
        "pyroute2, every entry": lambda: child("pyroute2", netns),
        "conntrim census --sample exact": lambda: measured([*conntrim, "--netns", netns, "--sample", "exact"]),
        "conntrim census --sample auto": lambda: measured([*conntrim, "--netns", netns]),
        "conntrack -L | mawk": lambda: measured(["mawk", LISTING], pipe_from=["conntrack", "-L"], netns=netns),
        "/proc | mawk": lambda: measured(["mawk", COUNT], pipe_from=proc, netns=netns),
        "text: conntrim census FILE": lambda: measured([*conntrim, saved, "--local", "192.168.0.18,2001:db8::18"]),
        "text: mawk, the same count": lambda: measured(["mawk", OURS + CENSUS, saved]),
        "text: mawk, ports and states only": lambda: measured(["mawk", COUNT, saved]),
        "start: conntrim --version": lambda: measured([sys.executable, "-m", "conntrim", "--version"]),
        "start: python3 -c pass": lambda: measured([sys.executable, "-c", "pass"]),
    }


SLOW = frozenset({"pyroute2, every entry"})
"""Measured in the first round only."""

RATIOS = (
    ("exact census / raw dump", "census, exact", "raw dump, thrown away", "seconds", 1.10, "<="),
    ("conntrack -L | mawk / exact census", "conntrack -L | mawk", "conntrim census --sample exact",
     "seconds", 2.5, ">="),
    ("exact / sampled census", "census, exact", "census, sampled", "seconds", 15, ">="),
    ("user CPU: conntrack -L | mawk / exact census", "conntrack -L | mawk", "census, exact", "user", 10, ">="),
    ("text: mawk, the same count / ours", "text: mawk, the same count", "text: conntrim census FILE",
     "seconds", 1.5, ">="),
    ("text: mawk, ports and states only / ours", "text: mawk, ports and states only", "text: conntrim census FILE",
     "seconds", None, ""),
    ("start-up / python", "start: conntrim --version", "start: python3 -c pass", "seconds", 8, "<="),
)  # fmt: skip
"""What the design promises: a name, two works, what is compared, the goal and its direction."""


def rounds(netns: str, saved: str, times: int) -> dict[str, dict[str, Any]]:
    """The fastest round of each work."""
    best: dict[str, dict[str, Any]] = {}
    for turn in range(times):
        for name, work in works(netns, saved).items():
            if turn and name in SLOW:
                continue
            print(f"\rround {turn + 1} of {times}: {name:40}", end="", file=sys.stderr, flush=True)
            got = work()
            if name not in best or got["seconds"] < best[name]["seconds"]:
                best[name] = got
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return best


def ratios(best: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Each promise with what was measured."""
    found = []
    for name, one, other, what, goal, way in RATIOS:
        value = best[one][what] / max(best[other][what], 1e-3)
        met = None if goal is None else (value <= goal if way == "<=" else value >= goal)
        found.append({"name": name, "ratio": value, "goal": goal, "way": way, "met": met})
    peak = best["memory: conntrim census"]["peak_mb"]
    found.append({"name": "peak memory, MB", "ratio": peak, "goal": 64, "way": "<=", "met": peak <= 64})
    return found


def filled(entries: int, times: int) -> dict[str, Any]:
    """Build a table of that size and measure."""
    with global_limits(nf_conntrack_max=entries * 2), lab_host("bench") as host, tempfile.TemporaryDirectory() as there:
        track(host.name)
        host.run("ip", "address", "add", "192.168.0.18/32", "dev", "lo")
        host.run("ip", "address", "add", "2001:db8::18/128", "dev", "lo")
        print(f"filling a table with {entries:,} entries", file=sys.stderr)
        made, saved = busy_site(host.name, entries), f"{there}/nf_conntrack"
        with (
            entered(host.name),
            open("/proc/thread-self/net/nf_conntrack", "rb") as source,
            open(saved, "wb") as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)
        best = rounds(host.name, saved, times)
        return {"entries": made, "text_mb": os.path.getsize(saved) / 1e6, "works": best, "ratios": ratios(best)}


def table(run: dict[str, Any]) -> str:
    """The run as text."""
    lines = [f"{run['entries']:,} entries, {run['text_mb']:.0f} MB as text", ""]
    lines.append(f"{'work':38} {'s':>8} {'user':>8} {'system':>8} {'MB':>6}")
    for name, got in run["works"].items():
        lines.append(
            f"{name:38} {got['seconds']:8.3f} {got['user']:8.3f} {got['system']:8.3f} {got.get('peak_mb', 0):6.0f}"
        )
    lines += ["", f"{'ratio':46} {'measured':>9} {'goal':>8}"]
    for row in run["ratios"]:
        goal = "" if row["goal"] is None else f"{row['way']} {row['goal']:g}"
        missed = "" if row["met"] in (True, None) else "  missed"
        lines.append(f"{row['name']:46} {row['ratio']:9.2f} {goal:>8}{missed}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the files."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--entries", type=int, default=ENTRIES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", type=int, nargs="*", default=[], help="further table sizes, one round each")
    options = parser.parse_args()
    run = filled(options.entries, options.rounds)
    print(table(run))
    others = [filled(entries, 1) for entries in options.growth]
    for other in others:
        print("\n" + table(other))
    kernel = os.uname().release
    content = {"kind": "bench", "kernel": kernel, "cpus": os.cpu_count(), **run, "growth": others}
    (ROOT / "bench" / "latest.json").write_text(json.dumps(content, indent=2) + "\n")
    (ROOT / "docs" / "bench.svg").write_text(chart(run))


if __name__ == "__main__":
    with orderly_end():
        main()
