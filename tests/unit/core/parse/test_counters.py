"""Counters from /proc/net/stat and from ctnetlink, and the slab's size of an entry (K29, K33)."""

from __future__ import annotations

import struct

import pytest

from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import Counters
from conntrim.core.parse.ctnetlink_stat import stats_cpu, stats_global
from conntrim.core.parse.proc_stat import proc_stat
from conntrim.core.parse.slabinfo import slab_entry_bytes

NEW = """\
entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop
00000007  00000001 00000000 00000000 0000000a 00000000 00000000 00000002 00000000 00000003 0000002f 00000000
00000007  00000000 00000000 00000000 00000001 00000000 00000000 00000003 00000000 00000000 0000000e 00000005
"""

OLD = """\
entries  searched found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error
0000fde8  000000ff 00000010 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000445 00000000 00000000
"""


def test_columns_are_read_by_name_in_hex_and_summed_over_cpus() -> None:
    """0x2f + 0x0e drops are 61; `entries` is not summed (K33); the chain column has the kernel's name."""
    counters = proc_stat(NEW, "stat")
    wanted = {"drop": 61, "early_drop": 5, "invalid": 11, "chaintoolong": 5, "clash_resolve": 1, "insert_failed": 3}
    assert wanted == {name: value for name, value in counters.values.items() if value}
    assert counters.get("entries") is None


def test_the_old_columns() -> None:
    """ip_conntrack's file has `searched` where newer kernels have others; a counter it lacks is None, not 0."""
    counters = proc_stat(OLD, "stat")
    assert (counters.get("drop"), counters.get("searched"), counters.get("chaintoolong")) == (1093, 255, None)


@pytest.mark.parametrize(
    ("text", "line"),
    [("", 1), ("a b c\n1 2 3\n", 1), ("found drop\n1\n", 2), ("found drop\n0 1\n0 xyz\n", 3)],
)
def test_bad_statistics_are_refused_with_their_line(text: str, line: int) -> None:
    """A missing header, a short row and a row that is no number name the line at fault."""
    with pytest.raises(InputError) as caught:
        proc_stat(text, "stat")
    assert line == caught.value.line


def payload(*attributes: tuple[int, int]) -> bytes:
    """The payload of a ctnetlink message with 32-bit big-endian attributes."""
    return bytes(4) + b"".join(struct.pack("=HH", 8, kind) + value.to_bytes(4, "big") for kind, value in attributes)


def test_ctnetlink_statistics_are_summed_over_cpus() -> None:
    """Attribute 10 is drop, 15 chaintoolong; unknown attributes are passed over."""
    counters = stats_cpu([payload((10, 47), (15, 2)), payload((10, 14), (99, 5))])
    assert counters == Counters({"drop": 61, "chaintoolong": 2}, "ctnetlink statistics")


def test_ctnetlink_global_statistics() -> None:
    """The count and max of a namespace whose /proc tells neither."""
    assert stats_global([payload((1, 61), (2, 262144))]) == {"entries": 61, "max_entries": 262144}


@pytest.mark.parametrize("cut", range(0, 30, 3))
def test_cut_netlink_answers_end_quietly(cut: int) -> None:
    """A payload cut anywhere gives what it holds whole and never runs on."""
    whole = {"drop": 47, "early_drop": 3, "icmp_error": 1}
    values = stats_cpu([payload((10, 47), (11, 3), (12, 1))[:cut]]).values
    assert values.items() <= whole.items()
    assert len(values) == max(0, cut - 4) // 8


HEADER = "slabinfo - version: 2.1\n# name <active_objs> ...\n"


@pytest.mark.parametrize(
    ("row", "size"),
    [
        ("nf_conntrack         128    192    256   16    1 : tunables    0    0    0 : slabdata", 256),
        ("nf_conntrack         128    192    320   25    2 : tunables    0    0    0 : slabdata", 327),
        ("nf_conntrack_ffff8801b7d8c000 14 24 320 12 1 : tunables 0 0 0", 341),
        ("ip_conntrack        4128   4200    304   13    1 : tunables   54   27    8 : slabdata", 315),
        ("nf_conntrack_expect    0      0    208   19    1 : tunables    0    0    0 : slabdata", None),
    ],
)
def test_slab_size_with_what_is_lost_at_the_end(row: str, size: int | None) -> None:
    """An entry takes its share of whole pages; expectations are another cache."""
    assert size == slab_entry_bytes(HEADER + row + "\n")
