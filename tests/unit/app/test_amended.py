"""`diagnose` of a collection together with other files of the same host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conntrim.cli.main import run

GATHERED = """=== conntrim: cat /proc/uptime
61000.00 1.00
=== conntrim: grep -sH . /proc/sys/net/netfilter/nf_conntrack_count
/proc/sys/net/netfilter/nf_conntrack_count:{count}
/proc/sys/net/netfilter/nf_conntrack_max:1000
=== conntrim: cat /proc/net/stat/nf_conntrack
entries  found invalid insert insert_failed drop early_drop
00000003 00000000 00000000 00000000 00000000 00000000 00000000
=== conntrim: dmesg | grep -e _conntrack
=== conntrim: cat /proc/uptime
61002.00 1.00
=== conntrim: cat /proc/net/stat/nf_conntrack
entries  found invalid insert insert_failed drop early_drop
00000003 00000000 00000000 00000000 00000000 00000000 00000000
=== conntrim: table
{table}=== conntrim: end
"""
ENTRY = (
    "ipv4     2 udp      17 29 src=10.7.0.9 dst=10.7.0.18 sport=4{n:03} dport=53 src=10.7.0.18 dst=10.7.0.9 sport=53"
    " dport=4{n:03} mark=0 use=1\n"
)


def gathered(path: Path, entries: int, count: int) -> str:
    """A collection of a host with so many entries, of which the kernel counted so many."""
    table = "".join(ENTRY.format(n=n) for n in range(entries))
    path.write_text(GATHERED.format(count=count, table=table))
    return str(path)


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """What diagnose says."""
    run(["diagnose", "--json", *argv])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_files_say_more_than_the_collection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In whatever order they are named: max and counters of later files, and a log that the ring had lost."""
    host = gathered(tmp_path / "host", 3, 3)
    (tmp_path / "s").write_text("net.netfilter.nf_conntrack_max = 4\n")
    (tmp_path / "c").write_text("cpu=0 found=1 invalid=0 insert=0 insert_failed=0 drop=61 early_drop=0\n")
    (tmp_path / "l").write_text("Apr 14 22:31:12 h kernel: nf_conntrack: table full, dropping packet\n")
    report = said(capsys, str(tmp_path / "s"), host, *(str(tmp_path / name) for name in "cl"))
    figures = report["figures"]
    assert [figures[name] for name in ("entries", "max", "drop", "drop_per_second", "log_lines")] == [3, 4, 61, None, 1]
    alone = said(capsys, host, "--log", str(tmp_path / "l"), "--max", "6", "--local", "10.7.0.9")
    assert (alone["figures"]["max"], alone["figures"]["log_lines"]) == (6, 1)
    assert [filler["service"] for filler in alone["fillers"]] == ["outbound udp/53 to 10.7.0.18"]


def test_an_empty_table_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A host that tracks nothing is OK; one whose collection lacks the table that it counted is told to be so."""
    empty = said(capsys, gathered(tmp_path / "empty", 0, 0))
    assert (empty["verdict"], empty["summary"], empty["remarks"]) == (0, "0 of 1,000 entries, no packet dropped", [])
    lost = said(capsys, gathered(tmp_path / "lost", 0, 700))
    assert "700 of 1,000" in lost["summary"]
    assert any("only root may read it" in remark for remark in lost["remarks"])


def test_two_hosts_or_two_tables_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody's numbers are mixed with another host's."""
    first, second = gathered(tmp_path / "a", 1, 1), gathered(tmp_path / "b", 1, 1)
    (tmp_path / "t").write_text(ENTRY.format(n=7))
    assert run(["diagnose", first, second]) == 3
    assert run(["diagnose", first, str(tmp_path / "t")]) == 3
    errors = capsys.readouterr().err
    assert "a second host beside" in errors
    assert "a table is in the record or collection already" in errors


def test_a_count_that_is_not_known_reads_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a log and a size alone."""
    (tmp_path / "l").write_text("Apr 14 22:31:12 h kernel: nf_conntrack: table full, dropping packet\n")
    assert said(capsys, str(tmp_path / "l"), "--max", "4000")["summary"].startswith("an unknown number of 4,000 entr")
