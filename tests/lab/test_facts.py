"""The facts of a namespace are the kernel's own: counts, drops and log lines of a known workload."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from conntrim.core.parse.ctnetlink_stat import GET_STATS_CPU, stats_cpu
from conntrim.host.conntrack_stat import ask
from conntrim.host.facts import KernelFacts
from conntrim.host.kernel_log import HostKernelLog
from conntrim.host.netlink import NLM_F_DUMP
from conntrim.host.netns import entered
from conntrim.lab.limits import global_limits
from conntrim.lab.netns import LabHost

USER = ["nft", "add table ip t; add chain ip t c { type filter hook output priority 0; }; add rule ip t c ct state new"]
"""Conntrack works in a namespace only while something there uses it (K5)."""


def send_from(host: LabHost, first: int, flows: int) -> None:
    """UDP datagrams over loopback to ports without a listener, each from a port of its own: one flow each."""
    with entered(host.name):
        for port in range(first, first + flows):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind(("127.0.0.1", port))
                try:
                    sender.sendto(b"x", ("127.0.0.1", 9))
                except PermissionError:
                    continue  # a packet dropped in OUTPUT comes back as EPERM


def until(condition: Callable[[], bool], limit: float = 10.0) -> bool:
    """Poll for a condition, at most so many seconds."""
    end = time.monotonic() + limit
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_a_prime_number_of_flows_is_counted_exactly(host: LabHost) -> None:
    """61 UDP flows are 61 entries, no drops; the namespace shows up with them under its name (K25)."""
    host.run(*USER)
    send_from(host, 20_000, 61)
    facts = KernelFacts().read(host.name)
    assert (facts.count, facts.counters.get("drop"), facts.max_writable) == (61, 0, False)
    assert (host.name, 61, 0) in [(use.name, use.count, use.drop) for use in facts.namespaces]


UNCOUNTED = 5
"""So many of 61 entries the collector may take, down to 95 %, when it comes by a full table: counted nowhere (K30)."""


def test_drops_of_a_full_table_are_counted_exactly_and_logged(host: LabHost) -> None:
    """At most 61 entries and 108 flows: 47 too many, dropped or evicting another (K30); /proc and netlink agree.

    The log names the namespace by its inode (K26). It is rate-limited: at least one line.
    """
    host.run(*USER)
    with global_limits(nf_conntrack_max=61):
        send_from(host, 20_000, 108)
        facts = KernelFacts().read(host.name)
        with entered(host.name):
            netlink = stats_cpu(ask(GET_STATS_CPU, NLM_F_DUMP))
        logged = until(lambda: facts.netns in {line.netns for line in HostKernelLog().overflows(None).overflows})
    drops, evicted = facts.counters.get("drop") or 0, facts.counters.get("early_drop") or 0
    assert (facts.max, netlink.get("drop"), netlink.get("early_drop")) == (61, drops, evicted)
    assert 47 - UNCOUNTED <= drops + evicted <= 47
    assert 61 - UNCOUNTED <= (facts.count or 0) <= 61
    assert logged


def test_a_reading_waits_and_sees_what_came_in_between(host: LabHost) -> None:
    """The second reading is not earlier than asked for, and holds the 7 new flows."""
    host.run(*USER)
    reader = KernelFacts()
    first = reader.read(host.name).reading
    send_from(host, 20_000, 7)
    second = reader.reading(host.name, first.seconds + 0.05)
    assert second.seconds - first.seconds >= 0.05
    assert ((first.count, second.count)) == (0, 7)
