"""The journal file: atomic, locked, and clear about what it cannot read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conntrim.app.ports.journal import HeldError
from conntrim.core.model.errors import HostError, InputError
from conntrim.core.rollout.record import Guard, Journal, SavedFile, Swap
from conntrim.core.rollout.states import State
from conntrim.store.journal import JournalFile
from tests.fakes.plans import fake_plan


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """A journal with everything in it comes back equal, the plan included; only its owner may read it."""
    store = JournalFile(str(tmp_path / "state"), None)
    saved = SavedFile("/etc/rules", b"bytes like \xff too", 0o600, "/etc/rules.20261122")
    guard, swap = Guard(100, 5.5, "boot"), Swap(1, ("a", "b"))
    journal = Journal(State.SWAPPING, fake_plan(), guard, own=("rule",), swap=swap, settings={"a": 1}, files=(saved,))
    store.write(journal)
    assert store.read() == journal
    assert os.stat(store.path).st_mode & 0o777 == 0o600


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
