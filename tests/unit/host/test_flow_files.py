"""Large and damaged saved tables: bounded memory, what can be read is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from conntrim.app.census import take_census
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.intervals import Intervals
from conntrim.host.flow_files import FileFlows

LINE = (
    "ipv4     2 tcp      6 {0} TIME_WAIT src=192.0.2.1 dst=192.0.2.2 sport={0} dport=80 "
    "src=192.0.2.2 dst=192.0.2.1 sport=80 dport={0} [ASSURED] mark=0 zone=0 use=2\n"
)
LINES = "".join(LINE.format(port) for port in range(1024, 7_168)).encode()
"""A megabyte."""

MEGABYTES = int(os.environ.get("CONNTRIM_TEXT_MB", "48"))
"""The larger of two streams; CONNTRIM_TEXT_MB=2048 takes a minute."""

READER = """
import sys
from conntrim.cli.main import run
run(["census", "-", "--local", "192.0.2.1"])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


WITHOUT_ZSTD = """
import sys
sys.modules["compression.zstd"] = sys.modules["backports.zstd"] = None
from conntrim.cli.main import run
sys.exit(run(["census", sys.argv[1]]))
"""
"""A Python that has neither module."""


def elsewhere() -> dict[str, str]:
    """The environment of a Python that finds conntrim where this one does, installed or not."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def read_stream(megabytes: int) -> tuple[str, int]:
    """The census of a stream of that size: its first line, and the reader's largest memory in kB."""
    command = [sys.executable, "-c", READER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=elsewhere()) as process:
        assert process.stdin
        assert process.stdout
        for _ in range(megabytes):
            process.stdin.write(LINES)
        process.stdin.close()
        first, *_, peak = process.stdout.read().decode().splitlines()
    return first, int(peak)


def test_memory_does_not_grow_with_the_file() -> None:
    """A stream of 48 MB (or of 2 GB) takes about what one of 16 MB takes: less than half more, under 128 MB."""
    small, large = read_stream(16), read_stream(MEGABYTES)
    lines = LINES.count(b"\n")
    print(f"\npeak memory {small[1] >> 10} MB for 16 MB of text, {large[1] >> 10} MB for {MEGABYTES:,} MB")
    assert [said.split(" ")[0] for said, _ in (small, large)] == [f"{n * lines:,}" for n in (16, MEGABYTES)]
    assert large[1] < min(1.5 * small[1], 128 << 10)


def test_a_file_that_turns_into_something_else_is_used_up_to_there(tmp_path: Path) -> None:
    """Entries, then ten megabytes without a line feed, with all other bytes: the entries count, the rest is one bad
    line or a few. Zeros are what a crash leaves of a file's end.
    """
    path = tmp_path / "table"
    path.write_bytes(LINES + (bytes(range(10)) + bytes(range(11, 256))) * 40_000)
    census = take_census(FileFlows(str(path)), Viewpoint(Intervals()), 5)
    assert census.total == LINES.count(b"\n")
    assert 1 <= census.bad_lines < 10
    assert any(f"{path}:{census.total + 1}:" in remark for remark in census.remarks)


def test_a_zst_file_without_the_package_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Exit code 2, the file's name, and how to read it all the same; no traceback."""
    path = tmp_path / "table.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(20))
    command = [sys.executable, "-c", WITHOUT_ZSTD, str(path)]
    done = subprocess.run(command, env=elsewhere(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    advice = "pip install 'conntrim[zstd]', or zstdcat FILE | conntrim census -"
    assert done.stderr == f"conntrim: {path}: zstd needs a package ({advice})\n"
