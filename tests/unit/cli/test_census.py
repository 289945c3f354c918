"""The verb `census` from its command line: output, errors and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conntrim.cli.main import run

TABLES = Path(__file__).parents[2] / "golden" / "tables"


def test_the_first_line_is_the_answer_and_no_line_is_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    """The largest service with its share, on the first line; everything below 80 columns."""
    assert run(["census", str(TABLES / "nf_conntrack.txt"), "--local", "192.168.0.18,2001:db8::18"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "18 entries; 22.2 % are inbound tcp/80"
    assert max(map(len, lines)) < 80


def test_bounded_rows_have_an_honest_rest(capsys: pytest.CaptureFixture[str]) -> None:
    """Two rows, and the other nine services with their entries; JSON and text add up to the total."""
    assert run(["census", str(TABLES / "nf_conntrack.txt"), "--local", "192.168.0.18", "--top", "2", "--json"]) == 0
    census = json.loads(capsys.readouterr().out)
    assert (census["kind"], len(census["services"]), census["other_services"]) == ("census", 2, 10)
    assert sum(s["entries"] for s in census["services"]) + census["other_entries"] == census["total"] == 18


@pytest.mark.parametrize("by", ["state", "peer", "zone"])
def test_every_breakdown_adds_up(by: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The rows of each table and its rest are the total on the last line."""
    assert run(["census", str(TABLES / "nf_conntrack.txt"), "--local", "192.168.0.18", "--by", by, "--top", "3"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[4:]]
    assert sum(int(row[0]) for row in rows[:-1]) == int(rows[-1][0]) == 18
    assert round(sum(float(row[1].rstrip("%")) for row in rows[:-1]), 1) == 100.0


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "binary": (b"\x7fELF\0\0\0\0" * 100, "binary file"),
    "utf-16": ("tcp 6 1 ESTABLISHED src=".encode("utf-16"), "UTF-16"),
    "rules": (b"*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", "rule set"),
    "xml": (b"<?xml version='1.0'?>\n<conntrack></conntrack>\n", "-o xml"),
    "events": (b"    [NEW] tcp      6 120 SYN_SENT src=192.0.2.1 dst=192.0.2.2 sport=1 dport=2\n", "events"),
    "prose": (b"it was a dark and stormy night\n" * 3, "not a conntrack table"),
    "bzip2": (b"BZh91AY&SY", "bzip2 is not read here"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_table_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names the file and says what it is instead; exit code 2."""
    content, told = BAD[name]
    path = tmp_path / name
    path.write_bytes(content)
    assert run(["census", str(path)]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert told in err
    assert str(path) in err


def test_missing_files_and_foolish_options_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there, a directory, a namespace of a file, an address that is none."""
    table = str(TABLES / "conntrack.txt")
    for arguments, told in (
        ([str(tmp_path / "none")], "No such file"),
        ([str(tmp_path)], "a directory, not a file"),
        ([table, "--netns", "x"], "no namespace"),
        ([table, "--local", "192.168.0.300"], "192.168.0.300 is no address"),
        (["--netns", "no-such"], "no network namespace no-such"),
    ):
        assert run(["census", *arguments]) == 2
        assert told in capsys.readouterr().err


def test_bad_lines_are_named_and_the_rest_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four bad lines among eighteen good ones: counted, the places told, the total as without them."""
    good = (TABLES / "nf_conntrack.txt").read_text().splitlines()
    bad = [
        "some words",
        "tcp 6 10 NO_SUCH src=1.2.3.4 dst=1.2.3.5 sport=1 dport=2 src=1.2.3.5 dst=1.2.3.4 sport=2 dport=1 use=1",
        "tcp 6 10 CLOSE src=1.2.3.400 dst=1.2.3.5 sport=1 dport=2 src=1.2.3.5 dst=1.2.3.4 sport=2 dport=1 use=1",
    ]
    path = tmp_path / "table"
    path.write_text("\n".join([*bad, *good, "tcp 6 10 CLOSE src=1.2.3.4 dst=1.2"]))
    assert run(["census", str(path), "--local", "192.168.0.18", "--json"]) == 0
    census = json.loads(capsys.readouterr().out)
    assert (census["total"], census["bad_lines"]) == (18, 4)
    assert [r.removeprefix(f"{path}:").split(":")[0] for r in census["remarks"]] == ["1", "2", "3", "22"]


def test_a_census_reads_no_rules() -> None:
    """A table alone, live or saved, loads none of the parsers of rules: they are a third of the time of a start."""
    asked = (
        "import sys; from conntrim import wiring; import conntrim.cli.census;"
        f"wiring.saved(None); wiring.flows({str(TABLES / 'nf_conntrack.txt')!r}, None);"
        "print(*(m for m in sys.modules if m.startswith(('conntrim.core.parse.nft', 'conntrim.core.parse.xt'))))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert "" == done.stdout.strip()
