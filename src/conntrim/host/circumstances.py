"""Which host and network namespace this is, and what of it decides, beside the rules, what becomes of packets."""

from __future__ import annotations

import hashlib
import hmac
import os
import socket

from conntrim.core.model.circumstances import PROOFS_USE, Circumstances, listeners, nameable
from conntrim.host.addresses import local_addresses
from conntrim.host.listeners import listening
from conntrim.host.namespaces import inode
from conntrim.host.netns import RUN, entered

MACHINE_ID = ("/etc/machine-id", "/var/lib/dbus/machine-id")
APPLICATION = b"conntrim plan"
"""machine-id(5) asks not to show the number itself, but a keyed hash of it."""
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def circumstances(netns: str | None = None) -> Circumstances:
    """Those of a network namespace; None: ours."""
    with entered(netns):
        return Circumstances(
            host=host_identity(),
            host_name=os.uname().nodename,
            namespace=namespace(),
            addresses=nameable(local_addresses()),
            interfaces=tuple(sorted(name for _, name in socket.if_nameindex())),
            settings={key: _sysctl(key) for key in PROOFS_USE},
            listening=listeners(listening()),
        )


def host_identity() -> str:
    """The same after a restart; by the host's name where it has no number of its own."""
    number = next(filter(None, map(_line, MACHINE_ID)), "") or os.uname().nodename
    return hmac.new(number.encode(), APPLICATION, hashlib.sha256).hexdigest()[:16]


def namespace() -> str:
    """The name of the namespace that this thread is in, "" the first process's: told by what it is, not how it was
    asked for. One without a name has its number, which holds until the next boot. Whoever is not root may not ask, and
    is taken to be where the first process is."""
    here, first = inode(), inode("/proc/1/ns/net")
    if here == first or (first is None and os.geteuid() != 0):
        return ""
    names = sorted(os.listdir(RUN)) if os.path.isdir(RUN) else []
    named = next((name for name in names if inode(f"{RUN}/{name}") == here), "")
    return named or f"net:[{here}] of boot {_line(BOOT_ID)[:8]}"


def _sysctl(key: str) -> str:
    """Its value in this thread's namespace, words apart by one space; "" where there is no such key."""
    return " ".join(_line(f"/proc/sys/{key.replace('.', '/')}").split())


def _line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""
