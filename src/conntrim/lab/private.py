"""The lab without root: in a user namespace of its own, where network namespaces may be made but no global size set."""

from __future__ import annotations

import os
import sys

from conntrim.core.model.errors import HostError
from conntrim.host import programs

MISSING_LIMIT = "stage `full`: nf_conntrack_max is global to the kernel and needs root"
MARK = "CONNTRIM_LAB_PRIVATE"
"""Set in the environment of the process that already runs inside."""


NET_ADMIN, SYS_ADMIN = 12, 21
"""Capability numbers: making network namespaces and rules in them needs both (capabilities(7))."""


def privileged() -> bool:
    """Whether we have the capabilities in effect; root in a container may not."""
    with open("/proc/self/status", encoding="ascii") as file:
        (effective,) = (int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    return all(effective >> number & 1 for number in (NET_ADMIN, SYS_ADMIN))


def limits_writable() -> bool:
    """Whether the global sizes may be set here (K25, K41)."""
    return privileged() and MARK not in os.environ


def become_private() -> None:
    """Without privileges: start anew inside a user, a mount and a network namespace. Returns at once with them.

    HostError where this kernel does not let users make namespaces.
    """
    if MARK in os.environ:
        # `ip netns` keeps its names below /run, which belongs to root outside: an empty one of our own here.
        programs.run(["mount", "-t", "tmpfs", "tmpfs", "/run"])
    elif not privileged():
        unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
        ended = programs.attempt([*unshare, "true"])
        if ended.code:
            raise HostError("unshare", ended.errors.strip(), advice="run the lab as root, or allow user namespaces")
        command = [programs.find("unshare") or "", *unshare[1:], sys.executable, "-m", "conntrim", *sys.argv[1:]]
        sys.stdout.flush()
        os.execve(command[0], command, os.environ | {MARK: "1"})  # noqa: S606  # no shell is what we want
