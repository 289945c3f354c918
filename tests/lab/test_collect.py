"""The shell line of `collect` on a real kernel, in dash: the verbs say of its output what they say of the host."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from conntrim.cli.main import run
from conntrim.core.parse.collected import LINE
from conntrim.host.netns import entered
from conntrim.lab.bulk import fill_columns
from conntrim.lab.fill import Entry
from conntrim.lab.netns import LabHost
from tests.lab.test_record import filled, said


def gathered(host: LabHost) -> bytes:
    """What the line prints inside."""
    with entered(host.name):
        return subprocess.run(["/usr/bin/dash", "-c", LINE], capture_output=True, check=True, timeout=60).stdout


def test_the_verbs_say_of_a_collection_what_they_say_of_the_host(
    host: LabHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """census: the same services, states and clients; diagnose: sizes, counters and causes; check: the same findings."""
    filled(host)
    live = [said(capsys, *argv, "--netns", host.name) for argv in (("census",), ("diagnose",), ("check",))]
    path = tmp_path / "host.txt"
    path.write_bytes(gathered(host))
    saved = [said(capsys, *argv, str(path)) for argv in (("census",), ("diagnose",), ("check",))]
    for name in ("total", "states", "clients", "local"):
        assert live[0][name] == saved[0][name]
    figures = [told["figures"] for told in (live[1], saved[1])]
    for name in ("entries", "max", "buckets", "drop", "insert_failed", "bytes_now"):
        assert figures[0][name] == figures[1][name]  # type: ignore[index]
    assert saved[1]["figures"]["span"] > 1.5  # type: ignore[index]
    codes = [[f["code"] for f in told["findings"]] for told in (live[2], saved[2])]  # type: ignore[attr-defined]
    assert codes[0] == codes[1] != []
    packet = ["-i", "eth0", "-p", "tcp", "-s", "203.0.113.9", "-d", "192.0.2.18", "--sport", "4000", "--dport", "22"]
    assert run(["explain", "--ruleset", str(path), *packet]) == 1
    assert "dropped" in capsys.readouterr().out


def test_a_collection_may_be_packed_and_cut_off(
    host: LabHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """gzip is unpacked on the way; one that breaks off in the table is incomplete, with a note."""
    filled(host)
    fill_columns(
        host.name, Entry(6, "203.0.113.1", "192.0.2.18", 1, 443, timeout=3_600), {"sport": np.arange(1, 20_001)}
    )
    whole = gathered(host)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(whole))
    assert said(capsys, "census", str(tmp_path / "packed.gz"))["total"] == 21_000
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    told = said(capsys, "census", str(tmp_path / "cut"))
    assert told["incomplete"]
    assert 0 < int(str(told["total"])) < 21_000
    assert "breaks off" in json.dumps(told["remarks"])
