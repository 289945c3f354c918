"""What is promised about reading tables, as ratios of two works of one run, and the run as text."""

from __future__ import annotations

from typing import Any

Run = dict[str, Any]

RATIOS = (
    ("exact census / raw dump", "census, exact", "raw dump, thrown away", "seconds", 1.10, "<="),
    ("cross table and sketches / the census without them", "whole-table parts of it", "the census without them",
     "seconds", 0.15, "<="),
    ("conntrack -L | mawk / conntrim census", "conntrack -L | mawk", "conntrim census --sample exact",
     "seconds", 2.5, ">="),
    ("exact / sampled census", "census, exact", "census, sampled", "seconds", 15, ">="),
    ("user CPU: conntrack -L | mawk / exact census", "conntrack -L | mawk", "census, exact", "user", 10, ">="),
    ("the same, with the start of Python", "conntrack -L | mawk", "conntrim census --sample exact",
     "user", None, ""),
    ("pyroute2 / exact census", "pyroute2, every entry", "census, exact", "seconds", None, ""),
    ("text: mawk, the same count / ours", "text: mawk, the same count", "text: conntrim census FILE",
     "seconds", 1.5, ">="),
    ("text: mawk, ports and states only / ours", "text: mawk, ports and states only", "text: conntrim census FILE",
     "seconds", None, ""),
    ("text: polars / ours", "text: polars, the same count", "text: conntrim census FILE", "seconds", None, ""),
    ("text: duckdb / ours", "text: duckdb, the same count", "text: conntrim census FILE", "seconds", None, ""),
    ("start-up / python", "start: conntrim --version", "start: python3 -c pass", "seconds", 8, "<="),
)  # fmt: skip
"""A name, two works, what is compared, the goal and its direction; without a goal where nothing is promised."""

MOST_MB = 64


def row(name: str, value: float, goal: float | None, way: str) -> Run:
    """One promise with what was measured."""
    met = None if goal is None else (value <= goal if way == "<=" else value >= goal)
    return {"name": name, "ratio": value, "goal": goal, "way": way, "met": met}


def ratios(works: dict[str, Run]) -> list[Run]:
    """The promises about one size."""
    found = [
        row(name, works[one][what] / max(works[other][what], 1e-3), goal, way)
        for name, one, other, what, goal, way in RATIOS
        if one in works and other in works
    ]
    peak = works["memory: conntrim census"]["peak_mb"]
    return [*found, row("peak memory, MB", peak, MOST_MB, "<=")]


def growth_ratios(run: Run, larger: Run) -> list[Run]:
    """The promises about a larger table: the same memory, the same time for a sample."""
    name = f"{larger['entries']:,} entries / {run['entries']:,}: "
    one, other = larger["works"], run["works"]
    memory, sampled = "memory: conntrim census", "census, sampled"
    return [
        row(name + "memory", one[memory]["peak_mb"] / other[memory]["peak_mb"], 1.10, "<="),
        row(name + "sample", one[sampled]["seconds"] / other[sampled]["seconds"], 1.20, "<="),
    ]


def table(run: Run) -> str:
    """The run as text."""
    lines = [f"{run['entries']:,} entries" + (f", {run['text_mb']:.0f} MB as text" if "text_mb" in run else ""), ""]
    lines.append(f"{'work':38} {'s':>8} {'user':>8} {'system':>8} {'MB':>6}")
    for name, got in run["works"].items():
        memory = f"{got['peak_mb']:6.0f}" if "peak_mb" in got else ""
        lines.append(f"{name:38} {got['seconds']:8.3f} {got['user']:8.3f} {got['system']:8.3f} {memory}".rstrip())
    if run["ratios"]:
        lines += ["", f"{'ratio':46} {'measured':>9} {'goal':>8}"]
    for each in run["ratios"]:
        goal = "" if each["goal"] is None else f"{each['way']} {each['goal']:g}"
        missed = "" if each["met"] in (True, None) else "  missed"
        lines.append(f"{each['name']:46} {each['ratio']:9.2f} {goal:>8}{missed}".rstrip())
    return "\n".join(lines)
