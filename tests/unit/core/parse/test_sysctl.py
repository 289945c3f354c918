"""sysctl and modprobe files, and the order in which a boot applies them."""

from __future__ import annotations

from conntrim.core.model.facts import Setting
from conntrim.core.parse.sysctl import FOLDERS, LAST, in_order, kernel_command_line, modprobe_file, sysctl_file

DOCUMENT = """\
# raised once, raised again
net.ipv4.ip_conntrack_max = 65000
net.ipv4.ip_conntrack_max = 855360
net.ipv4.netfilter.ip_conntrack_tcp_timeout_established = 1000
; net.netfilter.nf_conntrack_max = 7
net.ipv4.ip_forward=1
-net.netfilter.nf_conntrack_max=262144
net/netfilter/nf_conntrack_tcp_timeout_time_wait=30
nonsense
"""


def test_assignments_with_their_lines() -> None:
    """Comments and other keys are left out; `-` and slashes are only other spellings (sysctl.d(5))."""
    assert [
        Setting("net.ipv4.ip_conntrack_max", "65000", "f", 2),
        Setting("net.ipv4.ip_conntrack_max", "855360", "f", 3),
        Setting("net.ipv4.netfilter.ip_conntrack_tcp_timeout_established", "1000", "f", 4),
        Setting("net.netfilter.nf_conntrack_max", "262144", "f", 7),
        Setting("net.netfilter.nf_conntrack_tcp_timeout_time_wait", "30", "f", 8),
    ] == list(sysctl_file(DOCUMENT, "f"))


def test_files_run_by_name_and_hide_each_other_by_folder() -> None:
    """A later name in /usr/lib beats an earlier one in /etc; of one name only /etc's is read; ufw comes last."""
    paths = [
        "/usr/lib/sysctl.d/50-default.conf", "/etc/sysctl.d/50-default.conf", "/etc/sysctl.d/10-net.conf",
        "/usr/lib/sysctl.d/99-vendor.conf", "/run/sysctl.d/20-run.conf", "/etc/sysctl.d/README",
        "/etc/ufw/sysctl.conf", "/etc/sysctl.conf",
    ]  # fmt: skip
    assert in_order(paths, FOLDERS, LAST) == [
        "/etc/sysctl.d/10-net.conf", "/run/sysctl.d/20-run.conf", "/etc/sysctl.d/50-default.conf",
        "/usr/lib/sysctl.d/99-vendor.conf", "/etc/sysctl.conf", "/etc/ufw/sysctl.conf",
    ]  # fmt: skip


def test_module_options_of_both_eras() -> None:
    """`options ip_conntrack hashsize=N` and the new name; a line that goes on; other modules do not count."""
    text = (
        "options ip_conntrack hashsize=855360\n"
        "options nf_conntrack \\\n  hashsize=65536 acct=1\noptions nf_conntrack_ftp ports=21\n"
    )
    assert [
        Setting("ip_conntrack.hashsize", "855360", "m", 1),
        Setting("nf_conntrack.hashsize", "65536", "m", 2),
        Setting("nf_conntrack.acct", "1", "m", 2),
    ] == list(modprobe_file(text, "m"))


def test_module_options_on_the_kernel_command_line() -> None:
    """A module built in takes its options from there."""
    line = "quiet nf_conntrack.hashsize=131072 root=/dev/vda"
    assert [Setting("nf_conntrack.hashsize", "131072", "/proc/cmdline", 1)] == list(
        kernel_command_line(line, "/proc/cmdline")
    )
