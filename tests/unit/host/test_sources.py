"""Files that the operator names: bounded in time and size, whatever they are."""

import gzip
import os
import threading
from pathlib import Path

import pytest

from conntrim.cli.main import run
from conntrim.core.model.errors import InputError
from conntrim.host.flow_files import FileFlows
from conntrim.host.sources import opened, read_whole

SAVE = str(Path(__file__).parents[2] / "golden/hosts/cache.save")
ENTRY = (
    b"ipv4     2 tcp      6 431999 ESTABLISHED src=192.0.2.1 dst=192.0.2.2 sport=40000 dport=80 "
    b"src=192.0.2.2 dst=192.0.2.1 sport=80 dport=40000 [ASSURED] mark=0 zone=0 use=2\n"
)


def test_a_pipe_that_nobody_writes_to_is_given_up(tmp_path: Path) -> None:
    """Opening it does not wait for a writer, reading it ends after the patience, with one line that says so."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"pipe: nothing came within 0\.05 s"):
        read_whole(str(tmp_path / "pipe"), 100, "plan", patience=0.05)


def test_a_pipe_that_somebody_writes_to_is_read_whole(tmp_path: Path) -> None:
    """A FIFO and process substitution work: all that was written, up to the writer's end."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"a" * 300_000))
    writer.start()
    assert read_whole(str(path), 1 << 20, "plan", patience=30) == b"a" * 300_000
    writer.join()
    here, there = os.pipe()
    os.write(there, b"hello")
    os.close(there)
    assert read_whole(f"/dev/fd/{here}", 100, "plan", patience=30) == b"hello"
    os.close(here)


@pytest.mark.parametrize(
    ("path", "why"),
    [("/dev/zero", "a device"), ("/dev/urandom", "a device"), ("/tmp", "a directory"), ("/nowhere", "No such file")],
)
@pytest.mark.parametrize(
    "verb", [["census"], ["check"], ["plan", "--policy"], ["diagnose", "--log"], ["compare", SAVE]]
)
def test_what_is_no_file_is_refused_by_every_verb(
    verb: list[str], path: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A device without end, a directory and nothing at all are one line each, at once."""
    assert run([*verb, path]) in (2, 3)
    said = capsys.readouterr()
    assert said.err.startswith(f"conntrim: {path}: ")
    assert why in said.err
    assert said.err.count("\n") == 1


def test_a_file_larger_than_its_kind_is_refused(tmp_path: Path) -> None:
    """Read is the bound and one piece more, not the file."""
    path = tmp_path / "policy.toml"
    path.write_bytes(b"#" * 3000)
    with pytest.raises(InputError, match="more than 2 KiB"):
        read_whole(str(path), 2048, "policy")
    with opened(str(path)) as stream:
        assert stream.peek(1)


@pytest.mark.parametrize(
    ("unit", "why"), [(b"\n", "white space in a row"), (b"\t\n", "white space in a row"), (b"x\n", "are no entries")]
)
@pytest.mark.parametrize("head", [b"", ENTRY])
def test_a_bomb_ends_early(unit: bytes, why: str, head: bytes, tmp_path: Path) -> None:
    """64 MB of line feeds or of junk in a small file: refused after its first megabytes, an entry in front or not."""
    path = tmp_path / "table.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(head)
        for _ in range(64):
            file.write(unit * ((1 << 20) // len(unit)))
    with pytest.raises(InputError, match=f"{why}|no conntrack entry"):
        list(FileFlows(str(path)).blocks(frozenset({"zone"})))


DEEP = "[" * 100_000
TOML = {
    "deep lists": f"a = {DEEP}",
    "a deep table": "a = " + "{b = " * 50_000, "a number without end": "a = 1" + "0" * 9000,
    "many services": "[[untrack]]\n" * 50_000, "many tables": "".join(f"[a{i}]\n" for i in range(50_000)),
    "a deep key": "a." * 100_000 + "b = 1", "controls": "a = '\x1b'", "nothing": "", "a date": "a = 1979-99-99",
}  # fmt: skip


@pytest.mark.parametrize("text", TOML.values(), ids=TOML)
def test_a_bad_policy_is_one_line(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nested without end, long without end: the operator's error, and soon."""
    path = tmp_path / "policy.toml"
    path.write_text(text)
    assert run(["plan", "--policy", str(path), "--ruleset", "/dev/null"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"conntrim: {path}:")
    assert said.count("\n") == 1
    assert "bug" not in said
