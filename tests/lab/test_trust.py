"""What another user, or an edit, puts into a plan's directory, the journal or an image: refused, and nothing is run."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from conntrim import wiring
from conntrim.app.plan import Planned, files_of
from conntrim.app.rollout import apply, confirm, rollback
from conntrim.core.model.plan import Batch, FileChange, Obligation, ObligationStatus, Plan
from conntrim.core.parse.plan import parse_plan
from conntrim.lab.netns import LabHost, lab_host
from tests.lab.handmade import handmade, load_before
from tests.lab.test_rollout_plans import SwiftOperator, listing, load_firewall

KINDS = ("iptables", "nft")
NOBODY = 65534
POLICY = '[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\n'
MORE = (
    "add table inet more ; add chain inet more in {{ type filter hook input priority 5; }} ; add rule inet more in {}"
)
"""Rules of the operator's beside the others."""
EVIL = "#!/bin/sh\necho x >> {marker}\ncat > /dev/null\n"


@dataclass(frozen=True)
class Site:
    """A host with the operator's rules and a plan for them; `place` is the test's own, with a copy of the plan."""

    host: LabHost
    place: Path
    before: str

    @property
    def plan(self) -> Path:
        """The directory that the test spoils."""
        return self.place / "plan"

    @property
    def marker(self) -> Path:
        """Where the attacker's program leaves its trace."""
        return self.place / "marker"

    def evil(self, name: str) -> str:
        """The attacker's program."""
        program = self.place / name
        program.write_text(EVIL.format(marker=self.marker))
        program.chmod(0o755)
        return str(program)

    def does(self, verb: str, *words: str, limit: int = resource.RLIM_INFINITY) -> subprocess.CompletedProcess[str]:
        """Root runs a verb, in a process of its own that may take a minute and so much memory."""
        argv = [sys.executable, "-m", "conntrim", verb, *words, "--netns", self.host.name]
        argv += [] if verb == "plan" or "--state" in words else ["--state", str(self.place / "state")]
        frugal = partial(resource.setrlimit, resource.RLIMIT_AS, (limit, limit))
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, preexec_fn=frugal)

    def swiftly(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        """The same without a process."""
        shutil.rmtree(self.place / "here", ignore_errors=True)
        (self.place / "here").mkdir()
        return SwiftOperator(self.host, self.place / "here", rooted=False).does(verb, *words)

    def unharmed(self) -> None:
        """No rule has changed, no program of the attacker's has run; AssertionError."""
        assert not self.marker.exists(), "the attacker's program was run by root"
        assert listing(self.host) == self.before


@pytest.fixture(scope="module", params=KINDS)
def planned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One host and one plan in each dialect."""
    place = tmp_path_factory.mktemp("planned")
    (place / "web.toml").write_text(POLICY)
    with lab_host("trust") as host:
        host.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
        load_firewall(host, request.param)
        site = Site(host, place, listing(host))
        done = site.does("plan", "--policy", str(place / "web.toml"), "-o", str(place / "plan"))
        assert done.returncode == 0, done.stdout + done.stderr
        yield site


@pytest.fixture
def site(planned: Site, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """That host, with a copy of the plan; whatever a test has loaded is out again for the next one."""
    mine = replace(planned, place=tmp_path)
    shutil.copytree(planned.plan, mine.plan)
    yield mine
    if listing(mine.host) != mine.before:  # a test of ours failed: the next one finds the host as it was
        mine.host.run("nft", "flush", "ruleset")
        load_firewall(mine.host, request.node.callspec.params["planned"])


def forge(site: Site, change: Callable[[Plan], Plan]) -> None:
    """The whole directory as conntrim itself would write it for a forged plan: report, texts and files agree."""
    text = (site.plan / "policy.toml").read_text()
    plan = change(parse_plan((site.plan / "plan.json").read_bytes(), "plan.json"))
    shutil.rmtree(site.plan)
    for file in files_of(Planned(plan, text)):
        if ".." not in file.path:
            (site.plan / file.path).parent.mkdir(parents=True, exist_ok=True)
            (site.plan / file.path).write_text(file.text)


def _first(plan: Plan, batch: Batch) -> Plan:
    return replace(plan, trial=(batch, *plan.trial[1:]))


def other_program(site: Site) -> None:
    """A program of the attacker's own loads the first batch."""
    program = site.evil("iptables-nft-restore")
    forge(site, lambda plan: _first(plan, Batch(program, plan.trial[0].text)))


def flush(site: Site) -> None:
    """The trial flushes the operator's rules first."""
    forge(site, lambda plan: replace(plan, trial=(Batch("nft", "flush ruleset\n"), *plan.trial)))


def unguarded(site: Site) -> None:
    """A rule without guard admits everything, for good."""
    line = {"nft": "insert rule inet filter input accept\n"}
    xt = "*filter\n-I INPUT -j ACCEPT\nCOMMIT\n"
    forge(site, lambda p: replace(p, trial=(Batch(p.trial[0].program, line.get(p.trial[0].program, xt)), *p.trial)))


def file_outside(site: Site) -> None:
    """A file is to be written outside of everything."""
    forge(site, lambda plan: replace(plan, files=(FileChange("/../../escaped", "x"), *plan.files)))


def other_files(site: Site) -> None:
    """A file that gives the attacker a shell at the next boot."""
    forge(site, lambda plan: replace(plan, files=(FileChange("/etc/cron.d/x", "* * * * * root sh\n"), *plan.files)))


def other_sysctl(site: Site) -> None:
    """A sysctl that is none of the table's."""
    forge(site, lambda plan: replace(plan, settings={"kernel.core_pattern": 1, **plan.settings}))


def rollback_of_all(site: Site) -> None:
    """What takes the plan out takes out everything."""
    forge(site, lambda plan: replace(plan, rollback_trial=(Batch("nft", "flush ruleset\n"),)))


def fewer_words(site: Site) -> None:
    """What the plan newly admits is kept from the reader."""
    forge(site, lambda plan: replace(plan, residual=()))


def another_reason(site: Site) -> None:
    """An obligation is proved for a reason that nobody found."""
    forge(
        site,
        lambda plan: replace(plan, obligations=(replace(plan.obligations[0], why="trust me"), *plan.obligations[1:])),
    )


FORGERIES: dict[Callable[[Site], None], str] = {
    other_program: "`trial` differs",
    flush: "`trial` differs",
    unguarded: "`trial` differs",
    file_outside: "files/../../escaped is missing",
    other_files: "`files` differs",
    other_sysctl: "`settings` differs",
    rollback_of_all: "`rollback_trial` differs",
    fewer_words: "`residual` differs",
    another_reason: "two-sided is proved for another reason",
}


@pytest.mark.parametrize("forged", FORGERIES, ids=lambda forged: forged.__name__)
def test_only_what_was_compiled_now_is_run(site: Site, forged: Callable[[Site], None]) -> None:
    """A directory forged as a whole, by somebody whom root trusts: what differs is named, nothing of it is run."""
    forged(site)
    done = site.swiftly("apply", str(site.plan))
    site.unharmed()
    said = " ".join(done.stdout.split())
    assert (done.returncode, done.stderr) == (1, ""), said
    assert FORGERIES[forged] in said
    assert ("plan.json is not what policy.toml compiles to on this host now: " in said) == (forged is not file_outside)


def test_obligations_are_proved_anew(site: Site) -> None:
    """A plan that breaks something, its obligations forged to proved: refused, with the one that is not."""
    site.host.run("nft", MORE.format("tcp dport 80 ct count over 5 drop"))
    try:
        (site.place / "web.toml").write_text(POLICY)
        done = site.does("plan", "--policy", str(site.place / "web.toml"), "-o", str(site.plan))
        assert done.returncode == 1, done.stdout + done.stderr

        def proved(plan: Plan) -> Plan:
            return replace(
                plan, obligations=tuple(Obligation(o.name, ObligationStatus.PROVED, o.why) for o in plan.obligations)
            )

        forge(site, proved)
        loaded = listing(site.host)
        done = site.does("apply", str(site.plan))
        assert listing(site.host) == loaded
    finally:
        site.host.run("nft", "delete", "table", "inet", "more")
    assert (done.returncode, done.stderr) == (1, ""), done.stdout
    said = " ".join(done.stdout.split())
    assert any(f" is {standing} here (" in said for standing in ("broken", "not decided")), said


def edited(name: str, old: str, new: str) -> Callable[[Site], None]:
    """One file, changed by hand."""

    def edit(site: Site) -> None:
        path = next(iter(sorted(site.plan.glob(name))))
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return edit


def _more(site: Site) -> None:
    (site.plan / "files").mkdir(exist_ok=True)
    (site.plan / "files/more").write_text("x")


def _less(site: Site) -> None:
    next(iter(sorted((site.plan / "confirm").iterdir()))).unlink()


EDITS: dict[str, tuple[Callable[[Site], None], str]] = {
    "report": (edited("REPORT.md", "ready: ", "certified: "), "REPORT.md was edited in line 1"),
    "trial": (edited("trial/1-*", "80", "8080"), "was edited in line"),
    "report of files": (edited("REPORT.md", "## Files", "## Files "), "REPORT.md was edited in line"),
    "policy": (edited("policy.toml", "[80]", "[80, 443]"), "policy.toml was edited"),
    "plan": (edited("plan.json", '"kind": "plan"', '"kind":  "plan"'), "it was edited"),
    "one file more": (_more, "files/more is no file of this plan"),
    "one file less": (_less, "is missing"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_told_and_has_no_effect(site: Site, name: str) -> None:
    """Whatever a reviewer may have looked at is what would be loaded; else it says how to change the plan."""
    edit, said = EDITS[name]
    edit(site)
    done = site.swiftly("apply", str(site.plan))
    site.unharmed()
    words = " ".join(done.stdout.split())
    assert (done.returncode, done.stderr) == (1, ""), words
    assert said in words
    assert "edits to a plan's directory have no effect; edit its policy.toml and make the plan again:" in words
    assert f"--netns {site.host.name}" in words


def test_a_stale_plan_is_told_as_stale_though_it_was_edited(site: Site) -> None:
    """The rules have changed, and the report was edited too: the first is the reason to look again."""
    EDITS["report"][0](site)
    site.host.run("nft", MORE.format("udp dport 7 drop"))
    try:
        done = site.swiftly("apply", str(site.plan))
    finally:
        site.host.run("nft", "delete", "table", "inet", "more")
    site.unharmed()
    words = " ".join(done.stdout.split())
    assert (done.returncode, "the plan is stale: chain in of nftables inet more is new" in words) == (1, True), words


def test_the_plan_as_it_is_loads_and_loads_again(site: Site) -> None:
    """Untouched it goes on trial; a second apply says so; while it is there plan -o keeps its directory."""
    done = site.swiftly("apply", str(site.plan))
    assert (done.returncode, done.stdout[:6]) == (0, "Armed."), done.stdout
    state = ["--state", str(site.place / "here/state")]
    again = site.does("apply", str(site.plan), *state)
    assert (again.returncode, again.stdout[:16]) == (0, "Already on trial"), again.stdout
    (site.place / "web.toml").write_text(POLICY)
    planning = ("plan", "--policy", str(site.place / "web.toml"), "-o")
    report = (site.plan / "REPORT.md").stat().st_ino
    refused = site.does(*planning, str(site.plan), *state)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "which is on trial (conntrim confirm or conntrim rollback first" in refused.stderr
    assert (site.plan / "REPORT.md").stat().st_ino == report
    assert site.does("rollback", *state).returncode == 0
    site.unharmed()
    assert site.does(*planning, str(site.plan), *state).returncode == 0
    assert (site.plan / "REPORT.md").stat().st_ino != report


def given_away(site: Site) -> None:
    """The directory is another user's."""
    os.chown(site.plan, NOBODY, NOBODY)


def one_given_away(site: Site) -> None:
    """One file of it is."""
    os.chown(next((site.plan / "trial").iterdir()), NOBODY, NOBODY)


def inner_given_away(site: Site) -> None:
    """A directory in it is."""
    os.chown(site.plan / "trial", NOBODY, NOBODY)


def open_to_all(site: Site) -> None:
    """Everybody may write there."""
    site.plan.chmod(0o777)


def one_open_to_a_group(site: Site) -> None:
    """A group may write the policy."""
    (site.plan / "policy.toml").chmod(0o664)


def below_open(site: Site) -> None:
    """Everybody may put another directory in its place."""
    (site.place / "open").mkdir()
    (site.place / "open").chmod(0o777)
    site.plan.rename(site.place / "open/plan")
    site.plan.symlink_to(site.place / "nowhere")


def linked(site: Site) -> None:
    """plan.json is a link."""
    (site.plan / "plan.json").rename(site.place / "elsewhere")
    (site.plan / "plan.json").symlink_to(site.place / "elsewhere")


def linked_directory(site: Site) -> None:
    """The directory is a link."""
    site.plan.rename(site.place / "elsewhere")
    site.plan.symlink_to("elsewhere")


def fifo(site: Site) -> None:
    """plan.json is a FIFO that nobody writes."""
    (site.plan / "plan.json").unlink()
    os.mkfifo(site.plan / "plan.json")


def endless(site: Site) -> None:
    """plan.json is /dev/zero."""
    (site.plan / "plan.json").unlink()
    os.mknod(site.plan / "plan.json", 0o20644, os.makedev(1, 5))


def huge(site: Site) -> None:
    """The report is a terabyte of nothing."""
    os.truncate(site.plan / "REPORT.md", 1 << 40)


def countless(site: Site) -> None:
    """More files than anybody reads."""
    for number in range(300):
        (site.plan / f"trial/{number}").write_text("")


UNTRUSTED: dict[Callable[[Site], None], str] = {
    given_away: "plan: this belongs to user 65534, not to root",
    one_given_away: "this belongs to user 65534, not to root",
    inner_given_away: "plan/trial: this belongs to user 65534, not to root",
    open_to_all: "plan: others may write this (mode 0777)",
    one_open_to_a_group: "policy.toml: others may write this (mode 0664)",
    below_open: "open/plan: everybody may replace what is in ",
    linked: "plan.json: this is a symbolic link, not a file",
    linked_directory: "plan: this is a symbolic link",
    fifo: "plan.json: this is no regular file",
    endless: "plan.json: this is no regular file",
    huge: "REPORT.md: larger than 16 MiB",
    countless: "more than 256 files",
}


@pytest.mark.parametrize("planned", ["nft"], indirect=True)
@pytest.mark.parametrize("spoilt", UNTRUSTED, ids=lambda spoilt: spoilt.__name__)
def test_a_directory_that_others_may_have_written_is_refused(site: Site, spoilt: Callable[[Site], None]) -> None:
    """Owner, mode, kind and size decide before a word of it is read: one line, exit code 2, nothing loaded."""
    spoilt(site)
    directory = site.place / "open/plan" if spoilt is below_open else site.plan
    if spoilt in (fifo, endless, huge):  # what would wait or read for ever
        done = site.does("apply", str(directory), limit=2 << 30)
    else:
        done = site.swiftly("apply", str(directory))
    site.unharmed()
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stdout
    assert UNTRUSTED[spoilt] in done.stderr


@pytest.mark.parametrize("planned", ["nft"], indirect=True)
def test_sudo_s_caller_may_own_the_plan_but_not_the_journal(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may call conntrim as root may hand it a plan, which is proved anew; the journal is root's."""
    for path in (site.plan, *site.plan.rglob("*")):
        os.chown(path, 1000, 1000)
    assert site.swiftly("apply", str(site.plan)).returncode == 2
    monkeypatch.setenv("SUDO_UID", "1000")
    done = site.swiftly("apply", str(site.plan))
    assert (done.returncode, done.stdout[:6]) == (0, "Armed."), done.stderr
    state = site.place / "here/state"
    os.chown(state / f"netns-{site.host.name}.json", 1000, 1000)
    refused = site.does("rollback", "--state", str(state))
    assert (refused.returncode, "this belongs to user 1000, not to root" in refused.stderr) == (2, True)
    os.chown(state / f"netns-{site.host.name}.json", 0, 0)
    assert site.does("rollback", "--state", str(state)).returncode == 0
    site.unharmed()


@pytest.mark.parametrize("verb", ["status", "confirm", "rollback"])
def test_a_journal_starts_no_program_of_its_own(host: LabHost, tmp_path: Path, verb: str) -> None:
    """A journal that names another program, for its listings and its texts: damaged, and the program is not run."""
    load_before(host, "iptables-nft")
    site = Site(host, tmp_path, "")
    site.evil("iptables-nft-save")
    program = site.evil("iptables-nft-restore")
    ports = wiring.rollout(host.name, str(tmp_path / "state"))
    assert apply(ports, handmade("iptables-nft"), 60).exit_code == 0
    before = listing(host)
    [journal] = (tmp_path / "state").glob("*.json")
    journal.write_text(journal.read_text().replace('"iptables-nft-restore"', json.dumps(program)))
    done = site.does(verb)
    assert not site.marker.exists(), "the attacker's program was run by root"
    assert listing(host) == before
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "the journal is damaged: no rules are loaded with" in done.stderr
    assert "rollback --without-journal" in done.stderr


@pytest.mark.parametrize("leading", ["directory", "file", "top"])
def test_confirm_writes_nothing_outside_of_its_root(host: LabHost, tmp_path: Path, leading: str) -> None:
    """An image whose links are absolute: what is written stays in it, and rollback takes it out of there again."""
    load_before(host, "nftables")
    root, outside = tmp_path / "image", tmp_path / "outside"
    for path in (root / "etc", outside / "sysctl.d"):
        path.mkdir(parents=True)
    for path in (outside / "x.conf", outside / "sysctl.d/x.conf"):
        path.write_text("not ours\n")
    if leading == "top":
        (root / "etc").rmdir()
        (root / "etc").symlink_to(outside)
    elif leading == "directory":
        (root / "etc/sysctl.d").symlink_to(outside / "sysctl.d")
    else:
        (root / "etc/sysctl.d").mkdir()
        (root / "etc/sysctl.d/x.conf").symlink_to(outside / "x.conf")
    ports = wiring.rollout(host.name, str(tmp_path / "state"), str(root))
    plan = handmade("nftables", files=(FileChange("/etc/sysctl.d/x.conf", "ours\n"),))
    assert apply(ports, plan, 60).exit_code == 0
    assert confirm(ports).answer == "confirmed"
    assert sorted(str(p.relative_to(outside)) for p in outside.rglob("*")) == ["sysctl.d", "sysctl.d/x.conf", "x.conf"]
    assert {path.read_text() for path in outside.rglob("*.conf")} == {"not ours\n"}
    assert "ours\n" in [path.read_text() for path in root.rglob("x.conf") if path.is_file()]
    assert rollback(ports).answer == "rolled back"
    assert "ours\n" not in [path.read_text() for path in root.rglob("x.conf") if path.is_file()]
