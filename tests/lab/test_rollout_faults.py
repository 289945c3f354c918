"""Faults under a rollout: a full disk, programs that fail, hang or are gone, others at the rules, a stepped clock."""

from __future__ import annotations

import ctypes
import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from conntrim.app.rollout import apply, clean, confirm, rollback, rollback_without_journal, status
from conntrim.app.rollout_run import Ports
from conntrim.core.model.errors import InputError
from conntrim.core.model.plan import TRIAL_LIST, FileChange, Plan
from conntrim.core.rollout.record import Guard
from conntrim.core.rollout.report import Report
from conntrim.core.rollout.states import State
from conntrim.host import programs
from conntrim.host.files import HostFiles
from conntrim.host.loader import HostLoader
from conntrim.lab.netns import LabHost, lab_host
from tests.lab.fault_injection import watched
from tests.lab.handmade import DIALECTS, handmade, listing, load_before
from tests.lab.test_rollout import new_entries, ports, server, without_empty_raw

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
"""linux/sched.h, linux/mount.h"""
EARLIER = {"apply": (), "confirm": ("apply",), "rollback": ("apply", "confirm")}


def does(verb: str, made: Ports, plan: Plan) -> Report:
    """A verb by its name."""
    return {"apply": lambda: apply(made, plan, 60), "confirm": lambda: confirm(made),
            "rollback": lambda: rollback(made)}[verb]()  # fmt: skip


class Stumbling(HostLoader):
    """The n-th call that changes rules runs something else in the place of its program."""

    def __init__(self, netns: str, at: int, instead: Sequence[str], lasting: bool = False) -> None:
        super().__init__(netns)
        self.at, self.instead, self.lasting, self.calls = at, instead, lasting, 0

    def _run(self, argv: Sequence[str], text: str | None = None) -> str:
        if text is not None and not {"--test", "-c"} & set(argv):
            self.calls += 1
            if self.calls == self.at or (self.lasting and self.calls > self.at):
                return programs.run(self.instead, text=text, netns=self.netns, timeout=0.3)
        return super()._run(argv, text)


def stand_ins(place: Path) -> list[list[str]]:
    """What may stand where a program was: one that fails, one that hangs, none, and half of one."""
    half = place / "half"
    half.write_bytes(b"\x7fELF half a program")
    half.chmod(0o755)
    return [["sh", "-c", "echo no >&2; exit 4"], ["sleep", "1000"], [str(place / "gone")], [str(half)]]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_program_that_fails_hangs_or_is_gone(host: LabHost, tmp_path: Path, dialect: str) -> None:
    """At each change of apply and confirm in turn: everything is taken out again, or kept and the next confirm goes on.

    Kept from the flip on, of which only iptables' confirm has one.
    """
    load_before(host, dialect)
    before, faults, numbers, kept = listing(host, dialect), stand_ins(tmp_path), count(), set[str]()
    for verb in ("apply", "confirm"):
        for at in count(1):
            number = next(numbers)
            made = ports(host, str(tmp_path / str(number)))
            for earlier in EARLIER[verb]:
                assert does(earlier, made, handmade(dialect)).exit_code == 0
            loader = Stumbling(host.name, at, faults[number % len(faults)])
            report = does(verb, replace(made, loader=loader), handmade(dialect))
            if report.exit_code == 0:
                assert loader.calls < at
                break
            if report.state is State.KEEPING:
                kept.add(verb)
                assert (report.answer, report.exit_code) == ("the confirm is unfinished", 1)
                assert (confirm(made).answer, rollback(made).answer) == ("confirmed", "rolled back")
            else:
                assert (report.answer, report.state, report.rules) == ("fell back", State.NOTHING, 0)
            assert without_empty_raw(listing(host, dialect)) == before
        rollback(made)
    assert next(numbers) >= 5
    assert kept == (set() if dialect == "nftables" else {"confirm"})


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_program_that_stays_broken(host: LabHost, tmp_path: Path, dialect: str) -> None:
    """What was loaded cannot be taken out: the report says so, the guard ends it, and a later rollback cleans up."""
    load_before(host, dialect)
    before = listing(host, dialect)
    made = ports(host, str(tmp_path))
    broken = replace(made, loader=Stumbling(host.name, 2, ["false"], lasting=True))
    report = apply(broken, handmade(dialect), 60)
    assert (report.answer, report.exit_code, report.state) == ("could not take everything out", 1, State.BACKING_OUT)
    assert report.rules > 0
    with server(host):
        assert new_entries(host) == 1
    assert clean(made).exit_code == 0
    assert without_empty_raw(listing(host, dialect)) == before


def in_private_mounts(act: Callable[[], None]) -> None:
    """Do it in a process with mounts of its own, which go with it; AssertionError with its traceback."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
                raise OSError(ctypes.get_errno(), "private mounts")
            act()
        except BaseException:  # the other process tells it
            os.write(writing, traceback.format_exc().encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as told:
        wrong = told.read().decode()
    os.waitpid(child, 0)
    assert not wrong, wrong


class Disk:
    """A small disk of its own, filled to the last byte when the n-th writing call comes."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        programs.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)])
        self.place, self.filler = place, place / "filler"

    def fill(self) -> None:
        """Until nothing more goes on it."""
        with self.filler.open("ab", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while file.write(b"\0" * size):
                        pass
                except OSError:
                    continue

    def ports(self, made: Ports, at: int, calls: list[str]) -> Ports:
        """The same, and the disk is full from the n-th writing call on."""

        def filling(name: str, act: Callable[[], object]) -> object:
            if name.startswith("journal") or name == "write":
                calls.append(name)
                if len(calls) == at:
                    self.fill()
            return act()

        return watched(made, filling)


@pytest.mark.parametrize("verb", list(EARLIER))
@pytest.mark.parametrize("dialect", ["iptables-nft", "nftables"])
def test_a_full_disk_at_every_step(host: LabHost, tmp_path: Path, dialect: str, verb: str) -> None:
    """No traceback and no half of a file; with room again a rollback leaves rules and files as they were."""
    load_before(host, dialect)
    before = listing(host, dialect)
    plan = handmade(dialect, (FileChange("/rules", "new\n" * 3000),))

    def fill_at(at: int) -> bool:
        disk = Disk(tmp_path / f"disk{at}")
        made = replace(ports(host, str(disk.place / "state")), files=HostFiles(str(disk.place)))
        (disk.place / "rules").write_text("old\n")
        for earlier in EARLIER[verb]:
            assert does(earlier, made, plan).exit_code == 0
        calls: list[str] = []
        report = does(verb, disk.ports(made, at, calls), plan)
        if len(calls) < at:
            return False
        assert "No space left on device" in report.why or report.exit_code == 0, report
        assert (disk.place / "rules").read_text() in ("old\n", "new\n" * 3000)
        disk.filler.unlink()
        assert rollback(made).exit_code == 0
        assert without_empty_raw(listing(host, dialect)) == before
        assert (disk.place / "rules").read_text() == "old\n"
        assert apply(made, plan, 60).answer == "armed"
        assert rollback(made).answer == "rolled back"
        return True

    def at_every_step() -> None:
        steps = next(at for at in count(1) if not fill_at(at)) - 1
        assert steps >= 3

    in_private_mounts(at_every_step)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_others_flush_a_chain_amid_a_trial(host: LabHost, tmp_path: Path, dialect: str) -> None:
    """Our accepts went with it: the confirm is refused, the untracking goes too, what the others left stays."""
    load_before(host, dialect)
    made = ports(host, str(tmp_path))
    apply(made, handmade(dialect), 60)
    host.run(*("nft flush chain inet filter input" if dialect == "nftables" else f"{dialect} -F INPUT").split())
    assert status(made).state is State.LOST
    report = confirm(made)
    assert (report.answer, report.exit_code, report.rules) == ("not kept", 1, 0)
    assert "conntrim" not in listing(host, dialect).lower()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_others_add_amid_a_trial_stays(host: LabHost, tmp_path: Path, dialect: str) -> None:
    """Their rule is there after the rollback, and nothing else is different."""
    load_before(host, dialect)
    made = ports(host, str(tmp_path))
    apply(made, handmade(dialect), 60)
    theirs = "ip saddr 192.0.2.9 drop" if dialect == "nftables" else "-s 192.0.2.9/32 -j DROP"
    chain = "nft insert rule inet filter input" if dialect == "nftables" else f"{dialect} -I INPUT"
    host.run(*f"{chain} {theirs}".split())
    assert rollback(made).answer == "rolled back"
    left = [line for line in without_empty_raw(listing(host, dialect)).splitlines() if theirs not in line]
    with lab_host("other") as other:
        load_before(other, dialect)
        assert listing(other, dialect).splitlines() == left


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_clock_set_forward_only_shortens_a_trial(host: LabHost, tmp_path: Path, dialect: str) -> None:
    """An hour forward: iptables' rules are over at once and status says so; nft's set never looks at that clock."""
    load_before(host, dialect)
    made = ports(host, str(tmp_path))
    guard = replace(Guard.starting(made.clock.now(), 60, recent=True), wall=int(made.clock.now().wall) - 3540)
    for batch in handmade(dialect).trial:
        made.loader.load(batch, guard)
    if dialect != "nftables":
        made.loader.fill(TRIAL_LIST)
    with server(host):
        assert new_entries(host) == (0 if dialect == "nftables" else 1)
    assert guard.left({"nft"}, made.clock.now()) > 0 >= guard.left({"iptables-restore"}, made.clock.now())


@pytest.mark.parametrize("damage", ["half", "empty", "newer"])
def test_a_journal_that_cannot_be_read(host: LabHost, tmp_path: Path, damage: str) -> None:
    """Every verb says so and changes nothing; --without-journal takes our rules out and keeps the file."""
    load_before(host, "iptables-nft")
    before = listing(host, "iptables-nft")
    made = ports(host, str(tmp_path))
    apply(made, handmade("iptables-nft"), 60)
    on_trial = listing(host, "iptables-nft")
    (path,) = tmp_path.glob("*.json")
    text = path.read_bytes()
    damaged = {"half": text[: len(text) // 2], "empty": b"", "newer": text.replace(b'"schema": 1', b'"schema": 2')}
    path.write_bytes(damaged[damage])
    for verb in (status, confirm, rollback, clean, partial(apply, plan=handmade("iptables-nft"), seconds=60)):
        with pytest.raises(InputError, match="newer conntrim" if damage == "newer" else "damaged"):
            verb(made)
    assert (on_trial, damaged[damage]) == (listing(host, "iptables-nft"), path.read_bytes())
    report = rollback_without_journal(made)
    assert (report.answer, report.exit_code) == ("rolled back", 0)
    assert without_empty_raw(listing(host, "iptables-nft")) == before
    assert [damaged[damage]] == [file.read_bytes() for file in tmp_path.glob("*.json.*")]
