"""Sizes and time-outs as files, in both eras."""

from dataclasses import replace

import pytest

from conntrim.core.model.facts import Era, Setting
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.policy import Policy
from conntrim.core.plan.obligations.room import room
from conntrim.core.plan.sizing import files_of, remarks_of, settings_of
from tests.unit.core.plan.planning import facts

POLICY = Policy((), 855_360, 106_920, {"nf_conntrack_tcp_timeout_established": 1000})


def test_todays_names() -> None:
    """nf_conntrack keys, the module option with its trap spelt out, and the module loaded before sysctl runs."""
    files = {f.path: f.text for f in files_of(POLICY, Era.NF, 65536)}
    assert ["/etc/sysctl.d/90-conntrim.conf", "/etc/modprobe.d/conntrim.conf", "/etc/modules-load.d/conntrim.conf"] == [
        *files
    ]
    assert "net.netfilter.nf_conntrack_max = 855360\n" in files["/etc/sysctl.d/90-conntrim.conf"]
    assert "net.netfilter.nf_conntrack_tcp_timeout_established = 1000\n" in files["/etc/sysctl.d/90-conntrim.conf"]
    assert "options nf_conntrack hashsize=106920\n" in files["/etc/modprobe.d/conntrim.conf"]


def test_names_of_the_2_6_era() -> None:
    """ip_conntrack keys as the source document wrote them, and no bucket sysctl, which did not exist."""
    files = {f.path: f.text for f in files_of(POLICY, Era.IP, None)}
    sysctl = files["/etc/conntrim/sysctl.conf"]
    assert "net.ipv4.ip_conntrack_max = 855360\n" in sysctl
    assert "net.ipv4.netfilter.ip_conntrack_tcp_timeout_established = 1000\n" in sysctl
    assert "buckets" not in sysctl
    assert "options ip_conntrack hashsize=106920\n" in files["/etc/modprobe.d/conntrim.conf"]
    assert "ip_conntrack_max 8 x hashsize = 855,360" in files["/etc/modprobe.d/conntrim.conf"]


def test_buckets_alone_still_write_max() -> None:
    """hashsize without max would make max eight times as large at the next boot (K27): the present max is written."""
    settings = settings_of(Policy((), None, 16384), Era.NF, 65536)
    assert {"net.netfilter.nf_conntrack_max": 65536, "net.netfilter.nf_conntrack_buckets": 16384} == settings


def test_who_else_sets_it_is_said() -> None:
    """Another file that sets the same key, kube-proxy, and a namespace where it cannot be set are remarks."""
    host = replace(
        facts(),
        settings=(Setting("net.netfilter.nf_conntrack_max", "5", "/etc/sysctl.d/99-x.conf", 1),),
        programs=("kube-proxy",),
        max_writable=False,
    )
    text = "\n".join(remarks_of(POLICY, host))
    assert "/etc/sysctl.d/99-x.conf" in text
    assert "kube-proxy" in text
    assert "read-only in this network namespace" in text


@pytest.mark.parametrize(
    ("policy", "entries", "expected"),
    [
        (Policy(max=262_144), 9, ObligationStatus.PROVED),
        (Policy(max=1), 0, ObligationStatus.BROKEN),
        (Policy(max=20_000), 10_001, ObligationStatus.BROKEN),
        (Policy(max=20_000), None, ObligationStatus.NOT_DECIDED),
        (Policy(max=20_000), 10_000, ObligationStatus.PROVED),
        (Policy(buckets=1), 0, ObligationStatus.BROKEN),
        (Policy(max=262_144, buckets=32_767), 0, ObligationStatus.BROKEN),
        (Policy(max=262_144, buckets=32_768), 0, ObligationStatus.PROVED),
    ],
)
def test_a_size_leaves_room_in_chains_that_the_kernel_takes(
    policy: Policy, entries: int | None, expected: ObligationStatus
) -> None:
    """A max below twice the entries, or buckets below an eighth of max (K27, K28), is no size to set."""
    (found,) = room(policy, replace(facts(), max=131_072), entries)
    assert ("room", expected) == (found.name, found.standing)


def test_who_names_no_size_is_not_asked_for_room() -> None:
    """Time-outs alone need no room."""
    assert () == room(Policy(timeouts={"nf_conntrack_udp_timeout": 10}), facts(), 9)
