"""Records: what was written is read; what is no record is refused in one line, whoever made it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conntrim.cli.main import run
from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import Counters, HostFacts, Reading
from conntrim.core.model.flows import ALL_COLUMNS
from conntrim.store.record import APPLICATION, SUPER_JOURNAL, RecordReader, RecordWriter, is_record
from tests.unit.core.census.panel.made import frames, steady
from tests.unit.core.diagnose.cases import host

READING = Reading(5.0, 1_210, Counters({"drop": 7}, "made"))


def facts() -> HostFacts:
    """Those of a made-up host."""
    return host()


OPEN = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"


def written(
    path: Path, number: int = 3, most: int = 1 << 30, told: HostFacts | None = None, rules: str = OPEN
) -> RecordReader:
    """A record with so many frames of a server's table; `told` are its facts, those of a made-up host if not given."""
    chance = np.random.default_rng(1)
    writer = RecordWriter(str(path), most, hidden=False)
    writer.facts(told or facts())
    writer.text("rules", "iptables-legacy-save ip iptables-legacy", rules)
    made = steady(chance, 10, 120.0, port=80, span=(-200, 100))
    for frame in frames(made, [5.0 * turn for turn in range(number)], None, chance):
        writer.frame(frame, READING)
    writer.close()
    return RecordReader(str(path))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Facts, rules, numbers and every column of every frame."""
    chance = np.random.default_rng(1)
    reader = written(tmp_path / "r")
    record = reader.read()
    assert (record.facts, record.later, record.frames, record.hidden) == (facts(), READING, 3, False)
    assert record.rules[0].text.startswith("*filter")
    made = steady(chance, 10, 120.0, port=80, span=(-200, 100))
    for ours, theirs in zip(frames(made, [0.0, 5.0, 10.0], None, chance), reader.frames(), strict=True):
        assert all((getattr(ours.flows, name) == getattr(theirs.flows, name)).all() for name in ALL_COLUMNS)
        assert replace(ours, flows=theirs.flows) == theirs


def test_the_verbs_read_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """census, census --again, diagnose and check take its name."""
    written(tmp_path / "r")
    assert run(["census", str(tmp_path / "r")]) == 0
    assert capsys.readouterr().out.startswith("1,198 entries; 100.0 % are ")
    assert run(["census", "--again", "5", str(tmp_path / "r")]) == 0
    assert "3 readings of" in capsys.readouterr().out
    run(["diagnose", str(tmp_path / "r")])
    assert "recorded in" in capsys.readouterr().out
    assert run(["check", str(tmp_path / "r")]) == 0
    assert capsys.readouterr().out.startswith("clean in 0 rules")


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    """Nor is what a link names."""
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    for name in ("there", "link"):
        with pytest.raises(InputError, match="there is a file already"):
            RecordWriter(str(tmp_path / name), 1 << 20, hidden=False)
    assert (tmp_path / "there").read_text() == "mine"


def test_a_record_is_bounded(tmp_path: Path) -> None:
    """Beyond its bound the oldest frames go, the first and the last stay."""
    reader = written(tmp_path / "r", number=40, most=200_000)
    seconds = [frame.seconds for frame in reader.frames()]
    assert (seconds[0], seconds[-1]) == (0.0, 195.0)
    assert 2 < len(seconds) < 40
    assert (tmp_path / "r").stat().st_size < 260_000


KILLED = """
import os, sys
sys.path.insert(0, ".")
from tests.unit.store.test_record import *
chance = np.random.default_rng(1)
writer = RecordWriter(sys.argv[1], 1 << 30, hidden=False)
writer.facts(facts())
made = steady(chance, 10, 120.0, port=80, span=(-200, 100))
for number, frame in enumerate(frames(made, [5.0, 10.0, 15.0], None, chance)):
    if number == 2:
        writer._put("PRAGMA cache_size = 1", ())
        writer._put("BEGIN", ())
    writer.frame(frame, READING)
os.kill(os.getpid(), 9)
"""


def test_a_run_that_is_killed_loses_the_frame_it_was_writing(tmp_path: Path) -> None:
    """Pages of the third frame are in the file already, and how to undo them beside it: two frames are read."""
    path = tmp_path / "r"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=Path(__file__).parents[3], check=False)
    assert done.returncode == -9
    assert Path(f"{path}-journal").stat().st_size > 0
    before = path.read_bytes()
    assert RecordReader(str(path)).read().frames == 2
    assert path.read_bytes() == before


def changed(path: Path, *statements: str) -> None:
    """The record with something done to it."""
    base = sqlite3.connect(path, isolation_level=None)
    for each in statements:
        base.execute(each)
    base.close()


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "another database": (lambda p: changed(p, "PRAGMA application_id = 1"), "no record of conntrim"),
    "a newer one": (lambda p: changed(p, "PRAGMA user_version = 99"), "newer conntrim"),
    "a trigger": (
        lambda p: changed(p, "CREATE TRIGGER t AFTER INSERT ON meta BEGIN SELECT 1; END"), "other tables"
    ),
    "a view": (
        lambda p: changed(p, "DROP TABLE texts", "CREATE VIEW texts AS SELECT 1 number, 'a' kind, '' name, x'' body"),
        "other tables",
    ),
    "a wrong type": (lambda p: changed(p, "UPDATE frames SET flows = 'text'"), "other types"),
    "too many rows": (lambda p: changed(p, "UPDATE frames SET rows = 1 << 40"), "unknown shape"),
    "fewer rows": (lambda p: changed(p, "UPDATE frames SET rows = 3"), "more than"),
    "no JSON": (lambda p: changed(p, "UPDATE frames SET told = '[[['"), "damaged"),
    "deep JSON": (lambda p: changed(p, f"UPDATE frames SET told = '{'[' * 100_000}'"), "damaged"),
    "no facts": (lambda p: changed(p, "DELETE FROM texts"), "no facts"),
    "a bomb": (
        lambda p: changed(p, f"UPDATE frames SET flows = x'{zlib.compress(bytes(1 << 24)).hex()}'"), "more than"
    ),
    "half of it": (lambda p: os.truncate(p, p.stat().st_size // 2), "damaged"),
    "its header alone": (lambda p: os.truncate(p, 100), "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_record_is_refused_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, or 3 of diagnose, the file's name and what is wrong: no traceback, whatever was done to it."""
    written(tmp_path / "r")
    change, why = HOSTILE[name]
    change(tmp_path / "r")
    assert run(["census", str(tmp_path / "r")]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert f"{tmp_path}/r" in err
    assert why in err
    assert run(["diagnose", str(tmp_path / "r")]) == 3


def test_flipped_bytes_are_refused_or_read(tmp_path: Path) -> None:
    """A record with a byte changed anywhere, 150 times: read, or refused by name; never anything else."""
    written(tmp_path / "r")
    whole, chance = (tmp_path / "r").read_bytes(), np.random.default_rng(2)
    for at in chance.integers(16, len(whole), 150).tolist():
        data = bytearray(whole)
        data[at] ^= 1 << int(chance.integers(0, 8))
        (tmp_path / "r").write_bytes(data)
        refused = ""
        try:
            list(RecordReader(str(tmp_path / "r")).frames())
            RecordReader(str(tmp_path / "r")).read()
        except InputError as error:
            refused = str(error)
        assert not refused or f"{tmp_path}/r" in refused


def test_a_journal_that_names_another_file_is_not_played(tmp_path: Path) -> None:
    """SQLite would delete that file once it is done: such a journal is refused, and one that is a link too."""
    written(tmp_path / "r")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    journal = tmp_path / "r-journal"
    journal.write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(500) + str(victim).encode() + SUPER_JOURNAL)
    with pytest.raises(InputError, match="names another file"):
        RecordReader(str(tmp_path / "r")).read()
    journal.unlink()
    journal.symlink_to(victim)
    with pytest.raises(InputError):
        RecordReader(str(tmp_path / "r")).read()
    assert victim.read_text() == "precious"


def test_only_regular_files_are_taken_for_records(tmp_path: Path) -> None:
    """A FIFO would hold us, a directory is none, nothing at all neither."""
    os.mkfifo(tmp_path / "fifo")
    assert not any(is_record(str(tmp_path / name)) for name in ("fifo", ".", "nothing"))
    assert is_record(written(tmp_path / "r").path)
    assert APPLICATION.to_bytes(4, "big") == b"CNTR"
