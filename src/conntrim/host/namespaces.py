"""The network namespaces of this kernel, and how many entries each holds (K25)."""

from __future__ import annotations

import os
from collections.abc import Iterator

from conntrim.core.model.errors import ConntrimError, HostError
from conntrim.core.model.facts import NamespaceUse
from conntrim.core.parse.cgroup import workload
from conntrim.host.conntrack_stat import SYSCTL, counters, number
from conntrim.host.netns import RUN, entered

OWN = "/proc/thread-self/ns/net"
MOST = 1_000
"""Namespaces looked at; a host with more is told so."""


def inode(path: str = OWN) -> int | None:
    """The number that the kernel log names a namespace by, None where it may not be read."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def paths() -> Iterator[tuple[str, str]]:
    """Name and path of every namespace that has a name or a process, each path possibly of one already seen."""
    yield "", OWN
    if os.path.isdir(RUN):
        yield from ((name, f"{RUN}/{name}") for name in sorted(os.listdir(RUN)))
    for pid in sorted((p for p in os.listdir("/proc") if p.isdigit()), key=int):
        yield f"of {comm(pid)}[{pid}]", f"/proc/{pid}/ns/net"


def uses(remarks: list[str]) -> tuple[NamespaceUse, ...]:
    """What each namespace holds, the fullest first; those that may not be entered are counted in a remark."""
    seen: dict[int, tuple[str, str]] = {}
    for name, path in paths():
        number_of = inode(path)
        if number_of is None:
            continue
        known = seen.get(number_of)
        if known is None or not known[0]:
            seen[number_of] = name, path if known is None else known[1]
    named = [(key, f"{name}{_of(name, path)}", path) for key, (name, path) in list(seen.items())[:MOST]]
    found = [use for key, name, path in named if (use := _use(name, path, key)) is not None]
    looked_at = {use.inode for use in found}
    # One that has gone in the meantime, as a container's does, is nothing that is missing.
    missing = sum(key not in looked_at and inode(path) == key for key, (_, path) in seen.items())
    if missing:
        remarks.append(f"{missing} of {len(seen)} network namespaces could not be looked at (needs root)")
    return tuple(sorted(found, key=lambda use: (-use.count, use.name)))


def _use(name: str, path: str, key: int) -> NamespaceUse | None:
    try:
        if path == OWN:
            return _here(name, key)
        with entered(path):
            return _here(name, key)
    except ConntrimError:
        return None


def _here(name: str, key: int) -> NamespaceUse | None:
    count = number("nf_conntrack_count")
    if os.access(f"{SYSCTL}nf_conntrack_max", os.W_OK):
        name = "initial"  # the only one in which max may be set (K25)
    if count is None:
        return None
    try:
        drop = counters().get("drop")
    except HostError:
        drop = None
    return NamespaceUse(name, key, count, drop)


def _of(name: str, path: str) -> str:
    """The container or pod of a namespace that has no name but a process."""
    where = belongs(path.split("/")[2]) if name.startswith("of ") else ""
    return f", {where}" if where else ""


def belongs(pid: str) -> str:
    """What a process belongs to: a unit, a container, a pod; "" where nothing tells."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            return workload(file.read())
    except OSError:
        return ""


def comm(pid: str) -> str:
    """The name of a process, `?` where it has gone."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"
