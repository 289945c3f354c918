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


def read_stream(megabytes: int) -> tuple[str, int]:
    """The census of a stream of that size: its first line, and the reader's largest memory in kB."""
    # It finds conntrim where this process does, installed or not.
    command, env = [sys.executable, "-c", READER], os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
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
    assert [said.split(" ")[0] for said, _ in (small, large)] == [f"{n * lines:,}" for n in (16, MEGABYTES)]
    assert large[1] < min(1.5 * small[1], 128 << 10)


def test_a_file_that_turns_into_something_else_is_used_up_to_there(tmp_path: Path) -> None:
    """Entries, then nine megabytes without a line feed: the entries count, the rest is one bad line or a few."""
    path = tmp_path / "table"
    path.write_bytes(LINES + bytes(range(11, 256)) * 40_000)
    census = take_census(FileFlows(str(path)), Viewpoint(Intervals()), 5)
    assert census.total == LINES.count(b"\n")
    assert 1 <= census.bad_lines < 10
    assert any(f"{path}:{census.total + 1}:" in remark for remark in census.remarks)
