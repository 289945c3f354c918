"""Kernel log lines in all their wordings (K26)."""

from __future__ import annotations

import pytest

from conntrim.core.model.facts import Era, Overflow
from conntrim.core.parse.kernel_log import overflows

ROWS: list[tuple[str, float | None, str, int | None, Era]] = [
    ("nf_conntrack: table full, dropping packet", None, "", None, Era.NF),
    ("nf_conntrack: nf_conntrack: table full, dropping packet", None, "", None, Era.NF),
    ("[ 1350.018497] nf_conntrack: nf_conntrack: table full in netns 4026532246, dropping packet",
     1350.018497, "", 4026532246, Era.NF),
    ("[12345.678901][ T1234] nf_conntrack: table full, dropping packet", 12345.678901, "", None, Era.NF),
    ("[Sun Apr 14 22:31:12 2013] nf_conntrack: table full, dropping packet",
     None, "Sun Apr 14 22:31:12 2013", None, Era.NF),
    ("kern  :warn  : [   12.500000] nf_conntrack: table full, dropping packet", 12.5, "", None, Era.NF),
    ("<4>[   12.500000] nf_conntrack: table full, dropping packet", 12.5, "", None, Era.NF),
    ("4,1234,12500000,-;nf_conntrack: table full, dropping packet", 12.5, "", None, Era.NF),
    ("2026-11-22T21:18:50,123456+00:00 nf_conntrack: table full, dropping packet",
     None, "2026-11-22T21:18:50,123456+00:00", None, Era.NF),
    ("Apr 14 22:31:12 cache17 kernel: ip_conntrack: table full, dropping packet.",
     None, "Apr 14 22:31:12", None, Era.IP),
    ("Nov 22 21:18:50 web kernel: [12345.678901] nf_conntrack: table full, dropping packet",
     12345.678901, "Nov 22 21:18:50", None, Era.NF),
    ("2026-11-22T21:18:50.123456+00:00 web kernel: nf_conntrack: table full, dropping packet",
     None, "2026-11-22T21:18:50.123456+00:00", None, Era.NF),
    ("2026-11-22 21:18:50 web kernel: nf_conntrack: table full, dropping packet",
     None, "2026-11-22 21:18:50", None, Era.NF),
    ("[ 1350.018497] web kernel: nf_conntrack: nf_conntrack: table full in netns 7, dropping packet",
     1350.018497, "", 7, Era.NF),
    ("2025-03-02T08:09:10,654321+01:00 nf_conntrack: nf_conntrack: table full, dropping packet",
     None, "2025-03-02T08:09:10,654321+01:00", None, Era.NF),
    ("<4>1 2025-03-02T08:09:10.654321+01:00 edge3 kernel - - - nf_conntrack: table full, dropping packet",
     None, "2025-03-02T08:09:10.654321+01:00", None, Era.NF),
    ('<4>1 2025-03-02T08:09:10Z edge3 kernel 0 ID7 [timeQuality tzKnown="1"][x@1 a="b"] [ 9.5] nf_conntrack: '
     "table full, dropping packet", 9.5, "2025-03-02T08:09:10Z", None, Era.NF),
    ("<4>Mar  2 08:09:10 edge3 kernel: nf_conntrack: table full, dropping packet",
     None, "Mar  2 08:09:10", None, Era.NF),
    ("Mar  2 08:09:10 ap-lobby kern.warn kernel: [ 4321.125000] nf_conntrack: table full, dropping packet",
     4321.125, "Mar  2 08:09:10", None, Era.NF),
    ("Mar  2 08:09:10 kernel: nf_conntrack: table full, dropping packet", None, "Mar  2 08:09:10", None, Era.NF),
    ("Sun Mar  2 08:09:10 2025 kern.warn kernel: [ 4321.125000] nf_conntrack: table full, dropping packet",
     4321.125, "Sun Mar  2 08:09:10 2025", None, Era.NF),
    ("Sun Mar  2 08:09:10 2025 [1740899350.250] kern.warn kernel: nf_conntrack: table full, dropping packet",
     None, "Sun Mar  2 08:09:10 2025", None, Era.NF),
    ("2025 Mar  2 08:09:10.654321 leaf7 WARNING kernel: [ 4321.125000] nf_conntrack: table full, dropping packet",
     4321.125, "2025 Mar  2 08:09:10.654321", None, Era.NF),
    ("Mar  2 08:09:10.654321 leaf7 WARNING kernel: [ 4321.125000] nf_conntrack: table full, dropping packet",
     4321.125, "Mar  2 08:09:10.654321", None, Era.NF),
    ("Sun 2025-03-02 08:09:10 CET edge3 kernel: nf_conntrack: table full, dropping packet",
     None, "Sun 2025-03-02 08:09:10 CET", None, Era.NF),
    ("1740899350.654321 edge3 kernel: nf_conntrack: table full, dropping packet",
     None, "1740899350.654321", None, Era.NF),
    ("[ 4321.125000 <    0.000012>] edge3 kernel: nf_conntrack: table full, dropping packet",
     4321.125, "", None, Era.NF),
    ("[ 4321.125000 <    0.000012>] nf_conntrack: table full, dropping packet", 4321.125, "", None, Era.NF),
    ("[Mar 2 08:09] nf_conntrack: table full, dropping packet", None, "Mar 2 08:09", None, Era.NF),
    ("[Mar12 08:09] nf_conntrack: table full, dropping packet", None, "Mar12 08:09", None, Era.NF),
    ("[  +0.000012] nf_conntrack: table full, dropping packet", None, "", None, Era.NF),
]  # fmt: skip
"""Line; seconds since boot, wall clock, namespace, era."""


@pytest.mark.parametrize(("line", "seconds", "when", "netns", "era"), ROWS)
def test_wordings(line: str, seconds: float | None, when: str, netns: int | None, era: Era) -> None:
    """Each wording with each prefix is one overflow, with the clocks and the namespace it names."""
    (found,) = overflows(["something else\n", line + "\n"], "log")
    assert (2, seconds, when, netns, era) == (found.line, found.seconds, found.when, found.netns, found.era)


@pytest.mark.parametrize(
    "line",
    [
        "Nov 22 21:18:50 web sudo[77]: root : COMMAND=/bin/grep nf_conntrack: table full, dropping packet /var/log",
        "Nov 22 21:18:50 web app[77]: nf_conntrack: table full, dropping packet",
        "Nov 22 21:18:50 app: kernel: nf_conntrack: table full, dropping packet",
        "Nov 22 21:18:50 web user.notice kernel: nf_conntrack: table full, dropping packet",
        "<12>Nov 22 21:18:50 web kernel: nf_conntrack: table full, dropping packet",
        "<13>1 2025-03-02T08:09:10Z edge3 kernel - - - nf_conntrack: table full, dropping packet",
        "<4>1 2025-03-02T08:09:10Z edge3 app 77 - - nf_conntrack: table full, dropping packet",
        "[ 12.5] edge3 app: kernel: nf_conntrack: table full, dropping packet",
        "[ 12.5] nf_conntrack: expectation table full",
        "[ 12.5] ipv4: Neighbour table overflow.",
        "[ 12.5] IPVS: nf_conntrack: table full, dropping packet is what the manual says",
        "",
    ],
)
def test_not_the_kernels_words(line: str) -> None:
    """The same words in a program's line, and other tables that are full, are no overflow."""
    assert list(overflows([line], "log")) == []


def test_text_is_the_message_without_its_prefix() -> None:
    """What is kept is what the kernel said, so that equal lines are equal."""
    line = "[ 1.5] nf_conntrack: nf_conntrack: table full in netns 4026532246, dropping packet"
    message = "nf_conntrack: nf_conntrack: table full in netns 4026532246, dropping packet"
    assert [Overflow("dmesg", 1, message, 1.5, 4026532246)] == list(overflows([line], "dmesg"))
