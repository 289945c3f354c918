"""The journal file: atomic, locked, and clear about what it cannot read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conntrim.app.ports.journal import HeldError
from conntrim.core.model.errors import HostError, InputError
from conntrim.core.model.plan import Batch, FileChange
from conntrim.core.rollout.record import Guard, Journal, Lasting, SavedFile, Swap
from conntrim.core.rollout.states import State
from conntrim.store.journal import JournalFile
from tests.fakes.plans import fake_plan

PLAN = replace(fake_plan(), trial=(Batch("nft", "trial"),), confirm=(), rollback_trial=(), rollback_confirmed=())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """A journal with everything in it comes back equal, the plan included; only its owner may read it."""
    store = JournalFile(str(tmp_path / "state"), None)
    saved = SavedFile("/etc/rules", b"bytes like \xff too", 0o600, "/etc/rules.20261122")
    guard, swap = Guard(100, 5.5, "boot"), Swap(1, ("a", "b"))
    journal = Journal(State.SWAPPING, PLAN, guard, own=("rule",), swap=swap, settings={"a": 1}, files=(saved,))
    store.write(journal)
    assert store.read() == journal
    assert os.stat(store.path).st_mode & 0o777 == 0o600


def test_text_that_was_no_utf8_is_read_back(tmp_path: Path) -> None:
    """A file of rules with a Latin-1 comment, and a rule with one, come back byte for byte."""
    store = JournalFile(str(tmp_path), None)
    file = FileChange("/etc/iptables/rules.v4", "# caf\udce9\n")
    journal = Journal(State.CONFIRMED, own=("caf\udce9", "caf\u00e9"), lasting=Lasting((file,)))
    store.write(journal)
    assert store.read() == journal


def test_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    """A host on which nothing was ever applied."""
    assert JournalFile(str(tmp_path), "web").read() == Journal()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"kind": "journal", "schema": 1, "jour', "the journal is damaged"),
        ("", "the journal is damaged"),
        ('{"kind": "plan", "schema": 1}', "this is no journal"),
        ('{"kind": "journal", "schema": 99, "journal": {"state": "levitating"}}', "written by a newer conntrim"),
        ('{"kind": "journal", "schema": 1, "journal": {"state": "levitating"}}', "the journal is damaged"),
        ('{"kind": "journal", "x": ' + 5000 * "[", "the journal is damaged"),
    ],
)
def test_a_journal_that_cannot_be_read_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Truncated, foreign or newer: the operator's error with the file's name, never a guess."""
    store = JournalFile(str(tmp_path), None)
    Path(store.path).write_text(text)
    with pytest.raises(InputError, match=message):
        store.read()
    assert JournalFile(str(tmp_path), None).set_aside().startswith(f"{store.path}.2")
    assert store.read() == Journal()


def test_the_second_run_hears_who_holds_it(tmp_path: Path) -> None:
    """Two runs at once on one namespace: the second is refused by name and process; afterwards it is free."""
    one, two, other = (JournalFile(str(tmp_path), name) for name in (None, None, "web"))
    said = rf"conntrim apply \(process {os.getpid()}, since"
    with one.lock("apply"), other.lock("apply"), pytest.raises(HeldError, match=said), two.lock("confirm"):
        pass
    with two.lock("confirm"):
        pass


def test_a_write_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    """What stands in the way of the new journal is told, and the old one is still there."""
    store = JournalFile(str(tmp_path), None)
    store.write(Journal(State.TRIAL))
    os.mkdir(f"{store.path}.new")
    with pytest.raises(HostError, match=r"writing .*host\.json"):
        store.write(Journal(State.CONFIRMED))
    assert store.read().state is State.TRIAL


def test_the_lock_of_a_killed_run_is_waited_for(tmp_path: Path) -> None:
    """A run that was killed may hold the lock for a moment through a child: the next one waits and gets it."""
    store = JournalFile(str(tmp_path), None)
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with store.lock("apply"):
            if os.fork() == 0:  # the grandchild holds the lock on until the pipe says that the child is reaped
                os.read(ready, 1)
                os._exit(0)
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    os.write(told, b"x")
    with JournalFile(str(tmp_path), None).lock("rollback"):
        pass


def text(state: str = "trial") -> str:
    """A journal's file."""
    return f'{{"kind": "journal", "schema": 1, "journal": {{"state": "{state}"}}}}'


def foreign(path: Path) -> None:
    """Another user's."""
    path.write_text(text())
    os.chown(path, 65534, 65534)


def writable(path: Path) -> None:
    """Everybody may write it."""
    path.write_text(text())
    path.chmod(0o666)


def linked(path: Path) -> None:
    """A symbolic link."""
    path.with_name("elsewhere").write_text(text())
    path.symlink_to("elsewhere")


def fifo(path: Path) -> None:
    """A FIFO that nobody writes."""
    os.mkfifo(path)


def endless(path: Path) -> None:
    """A device without an end."""
    os.mknod(path, 0o20600, os.makedev(1, 5))


def huge(path: Path) -> None:
    """A file with more than anybody wrote, all of it a hole."""
    path.touch()
    os.truncate(path, 1 << 40)


UNTRUSTED: dict[Callable[[Path], None], str] = {
    foreign: "this belongs to user 65534, not to root",
    writable: r"others may write this \(mode 0666\)",
    linked: "this is a symbolic link, not a file",
    fifo: "this is no regular file",
    endless: "this is no regular file",
    huge: "larger than 64 MiB",
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("made", UNTRUSTED, ids=lambda made: made.__name__)
def test_a_journal_that_somebody_else_may_have_written_is_refused(tmp_path: Path, made: Callable[[Path], None]) -> None:
    """Owner, mode, kind and size are asked before a word of it is believed; one line says what, and what to do."""
    store = JournalFile(str(tmp_path), None)
    made(Path(store.path))
    with pytest.raises(InputError, match=f"^{store.path}: {UNTRUSTED[made]}") as refused:
        store.read()
    assert "rollback --without-journal" in str(refused.value)
    assert Path(store.set_aside()).name.startswith("host.json.2")
    assert store.read() == Journal()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("made", [foreign, writable, linked, fifo], ids=lambda made: made.__name__)
def test_a_lock_that_somebody_else_may_hold_is_refused(tmp_path: Path, made: Callable[[Path], None]) -> None:
    """Nor is a link written through to what it leads to."""
    store = JournalFile(str(tmp_path), None)
    made(Path(store.lock_path))
    with pytest.raises(InputError, match=f"^{store.lock_path}: {UNTRUSTED[made]}"), store.lock("apply"):
        pass
    assert all(path.read_text() == text() for path in tmp_path.glob("elsewhere"))


def given_away(path: Path) -> None:
    """Another user's directory."""
    path.mkdir()
    os.chown(path, 65534, 65534)


def open_to_all(path: Path) -> None:
    """Everybody may write there."""
    path.mkdir()
    path.chmod(0o777)


def a_link(path: Path) -> None:
    """A symbolic link to a directory."""
    path.with_name("elsewhere").mkdir()
    path.symlink_to("elsewhere")


DIRECTORIES: dict[Callable[[Path], None], str] = {
    given_away: "this belongs to user 65534, not to root",
    open_to_all: r"others may write this \(mode 0777\)",
    a_link: "this is a symbolic link",
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("made", DIRECTORIES, ids=lambda made: made.__name__)
def test_a_state_directory_of_others_is_refused(tmp_path: Path, made: Callable[[Path], None]) -> None:
    """Whoever may write there can exchange the journal: it is neither read nor written nor locked."""
    state = tmp_path / "state"
    made(state)
    store = JournalFile(str(state), None)
    said = f"^{state}: {DIRECTORIES[made]}"
    with pytest.raises(InputError, match=said):
        store.read()
    with pytest.raises(InputError, match=said):
        store.write(Journal())
    with pytest.raises(InputError, match=said), store.lock("apply"):
        pass
    assert list(state.iterdir()) == []


EVIL = (Batch("/tmp/evil", "text"),)
FORGED = {
    "trial": replace(PLAN, trial=EVIL),
    "confirm": replace(PLAN, confirm=EVIL),
    "rollback of a trial": replace(PLAN, rollback_trial=EVIL),
    "rollback": replace(PLAN, rollback_confirmed=EVIL),
    "no path": replace(PLAN, trial=(Batch("sh", "text"),)),
    "the save program": replace(PLAN, trial=(Batch("iptables-nft-save", "text"),)),
    "none": replace(PLAN, trial=(Batch("", "text"),)),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_journal_with_another_program_is_damaged(tmp_path: Path, name: str) -> None:
    """Whatever step names a program that loads no rules: nothing of that journal is believed."""
    store = JournalFile(str(tmp_path), None)
    store.write(Journal(State.TRIAL, FORGED[name]))
    with pytest.raises(InputError, match="the journal is damaged: no rules are loaded with"):
        store.read()
