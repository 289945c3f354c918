"""From where this kernel's table is looked at: its own addresses, its clients' ports, its time-outs."""

from __future__ import annotations

import os

from conntrim.core.model.census import Viewpoint
from conntrim.host.addresses import local_addresses, local_ports
from conntrim.host.netns import entered

SYSCTLS = "/proc/sys/net/netfilter"


def kernel_viewpoint(netns: str | None = None) -> Viewpoint:
    """The viewpoint of one network namespace."""
    return Viewpoint(local_addresses(netns), local_ports(netns), timeouts(netns))


def timeouts(netns: str | None = None) -> dict[str, int]:
    """All of the namespace's time-outs in seconds, by sysctl key; empty where /proc does not show them."""
    found: dict[str, int] = {}
    with entered(netns):
        names = os.listdir(SYSCTLS) if os.path.isdir(SYSCTLS) else []
        for name in names:
            if "_timeout" in name:
                with open(f"{SYSCTLS}/{name}", encoding="ascii") as file:
                    found[name] = int(file.read())
    return found
