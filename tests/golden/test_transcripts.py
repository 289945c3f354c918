"""Transcripts of the command line: each file in `cli/` is a command, its output and its exit code.

The command runs with `hosts/` as its directory. A mismatch leaves `NAME.got` beside the file; `make golden` takes it.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from conntrim.cli.main import conntrim

HERE = Path(__file__).parent
TRANSCRIPTS = sorted((HERE / "cli").glob("*.txt"))


def transcript(command: str) -> str:
    """The command, what it prints, and how it ends."""
    result = CliRunner().invoke(conntrim, shlex.split(command.removeprefix("$ conntrim ")))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return f"{command}\n{result.output}exit {result.exit_code}\n"


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda p: str(p.stem))
def test_transcript(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command prints what it printed when a person last looked at it, under 80 columns."""
    monkeypatch.chdir(HERE / "hosts")
    expected = path.read_text()
    actual = transcript(expected.splitlines()[0])
    if os.environ.get("GOLDEN") == "accept":
        path.write_text(actual)
    elif actual != expected:
        path.with_suffix(".got").write_text(actual)
    assert actual == (actual if os.environ.get("GOLDEN") == "accept" else expected)
    assert [] == [line for line in actual.splitlines()[1:] if len(line) > 79]
