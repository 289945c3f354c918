"""This kernel's conntrack facts: sizes, counters, time-outs, memory, settings, addresses, namespaces."""

from __future__ import annotations

import os
import platform
import time

from conntrim.core.capacity.timeouts import DEFAULTS
from conntrim.core.model.address import Family
from conntrim.core.model.circumstances import Circumstances
from conntrim.core.model.errors import HostError
from conntrim.core.model.facts import Era, HostFacts, Reading
from conntrim.core.model.intervals import Intervals
from conntrim.core.parse.slabinfo import slab_entry_bytes
from conntrim.host import conntrack_stat, namespaces, programs
from conntrim.host.addresses import local_addresses, local_ports
from conntrim.host.circumstances import circumstances
from conntrim.host.conntrack_stat import SYSCTL, number
from conntrim.host.listeners import listening
from conntrim.host.netns import entered
from conntrim.host.settings import settings

NO_PORTS = (32_768, 60_999)
"""The kernel's default port range, where a namespace does not tell its own."""

SETTERS = frozenset({"kube-proxy", "k3s", "k3s-server", "k3s-agent", "tuned"})
"""Programs that set conntrack's sysctls themselves: kube-proxy (K42; k3s contains it), tuned from its profile."""


class KernelFacts:
    """Reads the running kernel; see the port."""

    def read(self, netns: str | None) -> HostFacts:
        """Everything, for one namespace."""
        remarks: list[str] = []
        with entered(netns):
            count, maximum = conntrack_stat.sizes()
            now = conntrack_stat.reading(remarks)
            timeouts = {key: value for key in DEFAULTS if (value := number(key)) is not None}
            buckets, loose = number("nf_conntrack_buckets"), number("nf_conntrack_tcp_loose")
            inode, writable = namespaces.inode(), os.access(f"{SYSCTL}nf_conntrack_max", os.W_OK)
            local, ports = _addresses(remarks)
        return HostFacts(
            source="this kernel",
            kernel=platform.release(),
            era=Era.NF,
            seconds=now.seconds,
            count=now.count if now.count is not None else count,
            max=maximum,
            buckets=buckets,
            max_writable=writable,
            counters=now.counters,
            timeouts=timeouts,
            tcp_loose=None if loose is None else bool(loose),
            slab_entry_bytes=_slab(),
            memory_total=_memory(),
            local=local,
            local_ports=ports,
            overflows=(),
            settings=settings(remarks),
            netns=inode,
            namespace=netns or "",
            namespaces=namespaces.uses(remarks),
            cpus=os.cpu_count(),
            programs=_setters(),
            nft=_takes_nft(netns),
            circumstances=_circumstances(netns, remarks),
            listening=_listening(netns, remarks),
            remarks=tuple(remarks),
        )

    def reading(self, netns: str | None, not_before: float) -> Reading:
        """The changing numbers once more, not before that time of the monotonic clock."""
        time.sleep(max(0.0, not_before - time.monotonic()))
        with entered(netns):
            return conntrack_stat.reading([])


def _addresses(remarks: list[str]) -> tuple[Intervals, tuple[int, int]]:
    try:
        return local_addresses(), local_ports()
    except HostError as error:
        remarks.append(str(error))
        return Intervals(), NO_PORTS


def _circumstances(netns: str | None, remarks: list[str]) -> Circumstances:
    try:
        return circumstances(netns)
    except (HostError, OSError) as error:
        remarks.append(f"which host this is could not be told: {error}")
        return Circumstances()


def _listening(netns: str | None, remarks: list[str]) -> dict[Family, Intervals]:
    try:
        return listening(netns)
    except (HostError, OSError) as error:
        remarks.append(f"who listens at which port could not be read: {error}")
        return {}


NFT_TIMEOUT = """\
table inet conntrim_asks {
 ct timeout any {
  protocol tcp
  policy = { close : 10 }
 }
}
"""


def _takes_nft(netns: str | None) -> bool:
    """Whether a plan may have time-outs of nft's here, whatever loads the rules; a check asks the kernel (K168)."""
    try:
        programs.run(["nft", "-c", "-f", "-"], text=NFT_TIMEOUT, netns=netns)
    except HostError:
        return False
    return True


def _slab() -> int | None:
    try:
        with open("/proc/slabinfo", encoding="ascii") as file:
            return slab_entry_bytes(file.read())
    except OSError:
        return None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _setters() -> tuple[str, ...]:
    running = (namespaces.comm(pid) for pid in os.listdir("/proc") if pid.isdigit())
    return tuple(sorted(SETTERS.intersection(running)))
