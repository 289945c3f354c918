"""The kernel's settings that decide about single packets."""

from __future__ import annotations

from conntrim.core.netfilter.kernel import Kernel
from conntrim.host.addresses import local_addresses
from conntrim.host.netns import entered

TCP_LOOSE = "/proc/sys/net/netfilter/nf_conntrack_tcp_loose"


def tracking_kernel(netns: str | None) -> Kernel:
    """Addresses and tcp_loose of a namespace; the default where conntrack is not loaded."""
    try:
        with entered(netns), open(TCP_LOOSE, encoding="ascii") as file:
            loose = file.read().strip() != "0"
    except OSError:
        loose = True
    return Kernel(local_addresses(netns), loose)
