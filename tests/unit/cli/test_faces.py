"""The faces of a plan: in one line, as a difference, as wide as the terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from tests.unit.cli.test_plan import WEB, code

ONE = "not ready: 2 services untracked; not decided: loads\n"


def test_quiet_is_the_answer_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """One line and the exit code of the whole."""
    assert code([*WEB, "-q"]) == 1
    assert capsys.readouterr().out == ONE


@pytest.mark.parametrize("group", [[], ["lab"]])
def test_no_verb_gets_the_help(group: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As asked for by its option: on standard output, its lines whole. It was an error of one line once."""
    assert code([*group, "--help"]) == 0
    asked = capsys.readouterr()
    assert "\nCommands:\n" in asked.out
    assert code(group) == 0
    assert capsys.readouterr() == asked


def test_faces_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """Which of two the operator wanted nobody can tell."""
    for pair in (("-q", "--diff"), ("--diff", "--json"), ("-q", "--json")):
        assert code([*WEB, *pair]) == 2
        assert "leave out the others" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [60, 120])
def test_a_terminal_gets_lines_of_its_width(columns: int) -> None:
    """Longer than a pipe's where there is room, shorter where there is less; a pipe gets 80 columns whatever it is."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    argv = [sys.executable, "-m", "conntrim", *WEB, "--diff"]
    with subprocess.Popen(argv, stdout=theirs, stdin=subprocess.DEVNULL) as process:
        os.close(theirs)
        said = b""
        while part := _part(ours):
            said += part
    os.close(ours)
    assert process.returncode == 1
    longest = max(len(line) for line in said.decode().split("\r\n"))
    assert columns - 12 <= longest < columns


def _part(terminal: int) -> bytes:
    """What the other end wrote; nothing when it is closed, which Linux calls an error."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""
