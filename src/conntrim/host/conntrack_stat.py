"""Count, max and counters of the namespace this thread is in: from /proc, else by ctnetlink (K33)."""

from __future__ import annotations

import time

from conntrim.core.model.errors import HostError
from conntrim.core.model.facts import Counters, Reading
from conntrim.core.parse.ctnetlink_stat import GET_STATS, GET_STATS_CPU, NFNL_CTNETLINK, stats_cpu, stats_global
from conntrim.core.parse.proc_stat import proc_stat
from conntrim.host.netlink import NLM_F_ACK, NLM_F_DUMP, Netlink

SYSCTL = "/proc/sys/net/netfilter/"
STAT = "/proc/thread-self/net/stat/nf_conntrack"
"""`thread-self`, because /proc/net follows the process and not a thread that entered another namespace."""

NETLINK_NETFILTER = 12
"""include/uapi/linux/netlink.h; Python's socket module has no name for it."""

NFGENMSG = b"\0\0\0\0"
"""`struct nfgenmsg`: any family, version 0."""


def number(key: str) -> int | None:
    """One of conntrack's sysctls, None where this kernel or namespace has none of that name."""
    try:
        with open(SYSCTL + key, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def ask(message: int, flags: int) -> list[bytes]:
    """The payloads of the answers to one ctnetlink request."""
    with Netlink(NETLINK_NETFILTER, "reading conntrack's statistics") as link:
        link.send(NFNL_CTNETLINK << 8 | message, flags, NFGENMSG)
        return [payload for _, payload in link.answers()]


def counters() -> Counters:
    """The per-CPU counters, summed. HostError where neither /proc nor netlink has them."""
    try:
        with open(STAT, encoding="ascii") as file:
            return proc_stat(file.read(), "/proc/net/stat/nf_conntrack")
    except OSError:
        return stats_cpu(ask(GET_STATS_CPU, NLM_F_DUMP))


def sizes() -> tuple[int | None, int | None]:
    """Count and max, None where they cannot be read. HostError where there is no conntrack at all."""
    count, maximum = number("nf_conntrack_count"), number("nf_conntrack_max")
    if count is None or maximum is None:
        try:
            told = stats_global(ask(GET_STATS, NLM_F_ACK))
        except HostError as error:
            raise HostError(SYSCTL, "this kernel has no conntrack, or it is not loaded", advice=str(error)) from error
        count, maximum = told.get("entries", count), told.get("max_entries", maximum)
    return count, maximum


def reading(remarks: list[str]) -> Reading:
    """Count and counters, and when they were taken; what is denied is added to the remarks."""
    count, _ = sizes()
    try:
        now = counters()
    except HostError as error:
        remarks.append(str(error))
        now = Counters()
    return Reading(time.monotonic(), count, now)
