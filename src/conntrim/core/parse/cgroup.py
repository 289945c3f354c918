"""What a process belongs to, by the path of its cgroup: a unit, a container, a pod; in the ways of all runtimes."""

from __future__ import annotations

import re

POD = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})")
CONTAINER = re.compile(r"(?:^|[-/:])([0-9a-f]{64})(?:\.scope)?(?:/|$)")
"""docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope, /docker/ID, /kubepods/.../ID."""

NAMED = re.compile(r"/(lxc\.payload|lxc|machine\.slice)[./](?:machine-)?([\w.-]+?)(?:\.scope)?(?:/|$)")
UNIT = re.compile(r"/([\w@.\\:-]+\.service)(?:/|$)")
SHOWN = 12
"""Digits of a container's id that its runtime shows."""


def workload(text: str) -> str:
    """`pod 1a2b..., container 0123456789ab`, `container ...`, `lxc NAME`, `nginx.service`; "" where it is none.

    `text` is /proc/PID/cgroup: one line of version 2, or several of version 1, of which the most special counts.
    """
    paths = [line.split(":", 2)[2] for line in text.splitlines() if line.count(":") >= 2]
    told = [name for path in paths if (name := _workload(path))]
    return max(told, key=lambda name: (name.startswith("pod"), name.startswith("container"), len(name)), default="")


def _workload(path: str) -> str:
    pod, container, unit = POD.search(path), CONTAINER.search(path), UNIT.findall(path)
    parts = [f"pod {pod[1].replace('_', '-')}"] if pod else []
    parts += [f"container {container[1][:SHOWN]}"] if container else []
    if parts:
        return ", ".join(parts)
    if named := NAMED.search(path):
        return f"{named[1].partition('.')[0]} {named[2]}"
    return unit[-1] if unit else ""
