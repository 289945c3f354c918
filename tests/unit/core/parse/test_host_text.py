"""What people save beside a table is told apart by its content, and read."""

from __future__ import annotations

import pytest

from conntrim.core.model.errors import InputError
from conntrim.core.parse.cgroup import workload
from conntrim.core.parse.host_text import Form, counters_of, events_of, form_of, settings_of

ENTRY = (
    b"tcp      6 117 TIME_WAIT src=198.51.100.7 dst=192.0.2.18 sport=40000 dport=80 "
    b"src=192.0.2.18 dst=198.51.100.7 sport=80 dport=40000 [ASSURED] mark=0 use=1\n"
)
EVENTS = (
    b"[1764000000.250000]\t    [NEW] udp      17 30 src=192.0.2.18 dst=198.51.100.53 sport=40001 dport=53 [UNREPLIED] "
    b"src=198.51.100.53 dst=192.0.2.18 sport=53 dport=40001\n"
    b"[1764000001.000000]\t [UPDATE] udp      17 30 src=192.0.2.18 dst=198.51.100.53 sport=40001 dport=53\n"
    b"[1764000002.750000]\t[DESTROY] udp      17 src=192.0.2.18 dst=198.51.100.53 sport=40001 dport=53\n"
)
STATISTICS = (
    "cpu=0   \tfound=11 invalid=7 insert=0 insert_failed=3 drop=61 early_drop=2 error=0 search_restart=5 \n"
    "cpu=1   \tfound=13 invalid=0 insert=0 insert_failed=4 drop=0 early_drop=0 error=0 search_restart=1 \n"
)
SYSCTL = """kernel.hostname = gw
net.ipv4.ip_local_port_range = 16384\t60999
net.netfilter.nf_conntrack_count = 61234
net.netfilter.nf_conntrack_max = 65536
net.netfilter.nf_conntrack_tcp_timeout_established = 86400
net.ipv4.netfilter.ip_conntrack_udp_timeout = 30
net.netfilter.nf_conntrack_helper = maybe
"""


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"# conntrack -L\n" + ENTRY, Form.LISTING),
        (b"nobody knows what this is\n", Form.LISTING),
        (EVENTS, Form.EVENTS),
        (STATISTICS.encode(), Form.COUNTERS),
        (b"entries  searched found new invalid ignore delete delete_list insert insert_failed drop early_drop\n0 0 0\n",
         Form.PROC_STAT),
        (SYSCTL.encode(), Form.SETTINGS),
        (b"net.netfilter.nf_conntrack_max: 65536\n", Form.SETTINGS),
        (b"[   12.345678] nf_conntrack: table full, dropping packet\n", Form.LOG),
        (b"Jan  2 03:04:05 gw kernel: eth0: link up\n", Form.LOG),
        (b"*raw\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n", Form.RULES),
        (b"table inet filter {\n}\n", Form.RULES),
        (b'{"nftables": []}\n', Form.RULES),
    ],
)  # fmt: skip
def test_each_form_by_its_content(data: bytes, form: Form) -> None:
    """The name of a file does not matter; what nobody knows is taken for a listing, which then says what is wrong."""
    assert form_of(data) is form


def test_settings_of_both_eras() -> None:
    """Numbers by their last name, the old names as the new ones; what is no number is passed over."""
    assert settings_of(SYSCTL) == {
        "first_port": 16_384, "last_port": 60_999, "nf_conntrack_count": 61_234, "nf_conntrack_max": 65_536,
        "nf_conntrack_tcp_timeout_established": 86_400, "nf_conntrack_udp_timeout": 30,
    }  # fmt: skip


def test_statistics_are_added_up() -> None:
    """`conntrack -S` has a line a CPU."""
    counters = counters_of(STATISTICS, "s")
    assert (counters.get("drop"), counters.get("insert_failed"), counters.get("found")) == (61, 7, 24)
    with pytest.raises(InputError):
        counters_of("nothing\n", "s")


def test_events_become_rates() -> None:
    """One came, one went, in two and a half seconds; without times no seconds are told."""
    events = events_of(EVENTS.splitlines())
    assert (events.new, events.destroyed, events.updated, events.seconds) == (1, 1, 1, 2.5)
    assert events.ports == (("udp/53", 1),)
    assert events_of(line.partition(b"\t")[2] for line in EVENTS.splitlines()).seconds is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0::/system.slice/nginx.service\n", "nginx.service"),
        (f"0::/system.slice/docker-{'0123456789ab' + 'c' * 52}.scope\n", "container 0123456789ab"),
        (f"12:pids:/docker/{'fedcba987654' + '0' * 52}\n11:cpu:/\n0::/\n", "container fedcba987654"),
        ("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12345678_1234_1234_1234_123456789abc.slice/"
         f"cri-containerd-{'ab' * 32}.scope\n", "pod 12345678-1234-1234-1234-123456789abc, container abababababab"),
        ("0::/lxc.payload.shop/init.scope\n", "lxc shop"),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_what_a_process_belongs_to(text: str, told: str) -> None:
    """Units of systemd, containers of Docker, containerd and LXC, pods: by the path of the cgroup alone."""
    assert workload(text) == told
