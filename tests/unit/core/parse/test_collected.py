"""Collections: what each command printed is found behind its mark; what is missing is not known."""

from __future__ import annotations

from pathlib import Path

import pytest

from conntrim.core.model.address import parse_address
from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import Era
from conntrim.core.parse.collected import LINE, Collected, sections

ROUTER = """\
=== conntrim: date -u +%s
1795000000
=== conntrim: cat /proc/uptime
1000.50 1900.00
=== conntrim: uname -r
5.4.188
=== conntrim: readlink /proc/self/ns/net
net:[4026531840]
=== conntrim: grep -sH . /proc/sys/net/netfilter/nf_conntrack_buckets /proc/sys/net/netfilter/nf_conntrack_count
/proc/sys/net/netfilter/nf_conntrack_buckets:4096
/proc/sys/net/netfilter/nf_conntrack_count:900
/proc/sys/net/netfilter/nf_conntrack_max:1000
/proc/sys/net/netfilter/nf_conntrack_tcp_loose:1
/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established:7440
/proc/sys/net/ipv4/ip_local_port_range:1024\t65000
=== conntrim: cat /proc/net/stat/nf_conntrack
entries  clashres found new invalid ignore delete delete_list insert insert_failed drop early_drop error search_restart
384  0 0 0 0 0 0 0 0 0 a 0 0 0
=== conntrim: ip -o addr
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
7: br-lan    inet 192.168.1.1/24 brd 192.168.1.255 scope global br-lan
7: br-lan    inet6 fe80::1/64 scope link
=== conntrim: dmesg
[  900.1] nf_conntrack: nf_conntrack: table full, dropping packet
=== conntrim: cat /proc/uptime
1002.50 1900.00
=== conntrim: grep -sH . /proc/sys/net/netfilter/nf_conntrack_count
/proc/sys/net/netfilter/nf_conntrack_count:950
=== conntrim: table
"""


def told(text: str) -> Collected:
    """That text, read."""
    return Collected("router.txt", tuple(sections(text.splitlines(keepends=True))))


def test_a_router_tells_its_sizes_settings_and_addresses() -> None:
    """Each value where the report looks for it; the range of ports has two numbers."""
    facts = told(ROUTER).facts()
    assert (facts.kernel, facts.count, facts.max, facts.buckets, facts.netns) == (
        "5.4.188",
        900,
        1_000,
        4_096,
        4026531840,
    )
    assert facts.timeouts == {"nf_conntrack_tcp_timeout_established": 7_440}
    assert (facts.local_ports, facts.tcp_loose, facts.era) == ((1_024, 65_000), True, Era.NF)
    assert parse_address("192.168.1.1") in facts.local
    assert parse_address("192.168.1.2") not in facts.local
    assert parse_address("127.9.9.9") in facts.local
    assert (facts.counters.get("drop"), len(facts.overflows)) == (10, 1)


def test_the_second_reading_gives_rates() -> None:
    """Two seconds later there are 50 entries more; counters that were not printed again are not known."""
    later = told(ROUTER).later()
    assert (later.seconds, later.count, later.counters.values) == (1_002.5, 950, {})


def test_what_no_command_printed_is_not_known() -> None:
    """A collection of a host without any of the programs, or of one that was cut off in its first line."""
    for text in ("=== conntrim: date -u +%s\n", "=== conntrim: uname -r\n4.9\n=== conntrim: iptables-save\n"):
        collection = told(text)
        facts = collection.facts()
        assert (facts.count, facts.max, facts.counters.values, facts.overflows) == (None, None, {}, ())
        with pytest.raises(InputError, match="no rules"):
            collection.ruleset()


def test_a_host_of_the_2_6_era_has_its_own_names() -> None:
    """net.ipv4.ip_conntrack_max and net.ipv4.netfilter.ip_conntrack_*."""
    text = (
        "=== conntrim: grep -sH . /proc/sys/net/netfilter/nf_conntrack* /proc/sys/net/ipv4/ip_conntrack_max\n"
        "/proc/sys/net/ipv4/ip_conntrack_max:65536\n/proc/sys/net/ipv4/netfilter/ip_conntrack_count:12\n"
    )
    facts = told(text).facts()
    assert (facts.era, facts.max, facts.count) == (Era.IP, 65_536, 12)


def test_what_a_log_says_is_no_mark() -> None:
    """A mark stands at the beginning of a line; the kernel's log and rules have something before what others wrote."""
    text = ROUTER.replace("table full, dropping packet", "=== conntrim: table")
    assert told(text).later().count == 950


def test_the_manual_page_has_the_line() -> None:
    """Who has no conntrim at hand copies it from there."""
    page = Path(__file__).parents[4] / "docs/commands/collect.md"
    assert LINE in page.read_text().splitlines()
