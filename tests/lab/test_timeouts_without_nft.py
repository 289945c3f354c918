"""Time-outs of services on a host that lacks nft: iptables' `CT --timeout`, and policies of ctnetlink."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from conntrim.core.model.address import Family
from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import Batch
from conntrim.core.parse.ct_timeout import policies_of
from conntrim.core.rollout.record import Guard
from conntrim.host import programs
from conntrim.host.clock import HostClock
from conntrim.host.ct_timeouts import CtTimeouts
from conntrim.host.trial_load import complaint
from conntrim.lab.gateway import LAN, SERVER, SERVER6, Gateway, gateway
from conntrim.lab.netns import lab_host
from tests.lab.commands import conntrim
from tests.lab.planning import nft_without_timeouts
from tests.lab.test_persist import files_below, installed
from tests.lab.test_rollout import until
from tests.lab.test_rollout_plans import Operator, SwiftOperator
from tests.lab.test_service_timeouts import CLIENT, HOST, POLICY, left, outlives_the_trial

BACK_ENDS = ("iptables-nft", "iptables-legacy")
SOURCE = Path(programs.__file__).parents[2]
LONG = "nfct add timeout conntrim-1 inet tcp established 600"
MORE = POLICY + '\n[[timeout]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [22]\nseconds = { established = 33 }\n'


@pytest.fixture
def gate() -> Iterator[Gateway]:
    """A gateway with two clients."""
    with gateway(2) as made:
        yield made


@pytest.fixture
def without_nft(tmp_path: Path) -> Iterator[None]:
    """This process finds all programs but nft."""
    place = tmp_path / "bin"
    place.mkdir()
    for folder in filter(os.path.isdir, programs.PATH):
        for name in set(os.listdir(folder)) - {"nft", *os.listdir(place)}:
            (place / name).symlink_to(f"{folder}/{name}")
    with programs.preferring(str(place), alone=True):
        yield


@pytest.fixture
def old_nft(tmp_path: Path) -> Iterator[None]:
    """This process finds an nft that knows no time-outs."""
    with nft_without_timeouts(tmp_path / "old"):
        yield


def listed(gate: Gateway) -> list[str]:
    """The rules of iptables, without dates and counters, and without tables of raw that do nothing."""
    texts = [gate.host.run(f"{v}-{k}-save") for v in ("iptables", "ip6tables") for k in ("nft", "legacy")]
    lines = [line.split(" [")[0] for text in texts for line in text.splitlines() if line[:1] in "*:-"]
    return [line for line in lines if line not in ("*raw", ":PREROUTING ACCEPT", ":OUTPUT ACCEPT")]


def settled(gate: Gateway, *wanted: int) -> bool:
    """Whether the connections come to have these time-outs: until the last word is acknowledged an entry has less
    (K155)."""
    return until(lambda: left(gate, 443) == list(wanted))


def does(operator: Operator, *words: str) -> str:
    """A verb that succeeds; its output."""
    done = operator.does(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def planned(operator: Operator, policy: str = POLICY) -> tuple[str, list[str]]:
    """The plan's text, and the options that accept what is not decided: of an iptables-nft host without nft nobody
    knows what nft itself put into its tables (K96)."""
    (operator.directory / "policy.toml").write_text(policy)
    said = operator.does(
        "plan", "--policy", str(operator.directory / "policy.toml"), "-o", str(operator.directory / "plan")
    )
    open_ones = [line.split()[1].rstrip(":") for line in said.stdout.splitlines() if line.startswith("  open ")]
    assert open_ones == [] or "nft is not installed" in said.stdout
    return said.stdout, [word for name in open_ones for word in ("--accept", name)]


@pytest.mark.parametrize("dialect", BACK_ENDS)
@pytest.mark.usefixtures("without_nft")
def test_new_connections_get_them_through_trial_and_confirm(gate: Gateway, tmp_path: Path, dialect: str) -> None:
    """Both families, translated as they are; other ports and older connections keep the host's. A rollback deletes
    the policies, and all have the host's at their next packet (K152)."""
    gate.load(dialect)
    before = listed(gate)
    operator = SwiftOperator(gate.host, tmp_path)
    assert (gate.connects(CLIENT, 1, 443), left(gate, 443)) == (1, [HOST])
    said, accepted = planned(operator)
    assert dialect == "iptables-nft" or "all 6 obligations proved" in said
    does(operator, "apply", str(tmp_path / "plan"), *accepted)
    assert (gate.connects(CLIENT, 1, 443), left(gate, 443)) == (1, [600, HOST])
    assert (gate.connects("fd09:1::2", 1, 443, SERVER6), left(gate, 443)) == (1, [600, 600, HOST])
    assert (gate.connects(CLIENT, 1, 80), left(gate, 80)) == (1, [HOST])
    kept = does(operator, "confirm")
    assert "By hand: nfct add timeout c401 inet tcp" in kept
    assert (gate.connects(CLIENT, 1, 443), left(gate, 443)) == (1, [600, 600, 600, HOST])
    does(operator, "rollback")
    assert gate.alive(gate.opened) == len(gate.opened)
    assert settled(gate, *[HOST] * 4)
    assert (before, CtTimeouts(gate.host.name).listed()) == (listed(gate), ())


@pytest.mark.parametrize("dialect", BACK_ENDS)
@pytest.mark.usefixtures("old_nft")
def test_an_nft_that_knows_no_time_outs_is_as_none(gate: Gateway, tmp_path: Path, dialect: str) -> None:
    """It lists the rules all the same, so that all is proved in both back ends."""
    gate.load(dialect)
    operator = SwiftOperator(gate.host, tmp_path)
    said, accepted = planned(operator)
    assert ("all 6 obligations proved" in said, accepted) == (True, []), said
    does(operator, "apply", str(tmp_path / "plan"))
    assert (gate.connects(CLIENT, 1, 443), left(gate, 443)) == (1, [600])
    does(operator, "confirm")
    does(operator, "rollback")
    assert CtTimeouts(gate.host.name).listed() == ()


@pytest.mark.usefixtures("old_nft")
def test_no_file_names_a_policy_that_a_boot_lacks(gate: Gateway, tmp_path: Path) -> None:
    """Where a boot restores a file it stays as it is: with the rule in it nothing of it would load. The lines are
    told, what makes a policy before the rule that names it."""
    gate.load("iptables-nft")
    operator, root = SwiftOperator(gate.host, tmp_path), tmp_path / "root"
    installed(root, "debian")
    files = files_below(root)
    planned(operator)
    does(operator, "apply", str(tmp_path / "plan"))
    said = " ".join(does(operator, "confirm").split()).replace("- ", "-")
    assert files_below(root) == files
    assert "a boot loads none of a file whose rules name time-out policies that are not there" in said
    assert "with nfct here (Debian's package nfct) a unit of ours makes both" in said
    assert said.index("By hand: nfct add timeout c401") < said.index("By hand: table raw: -N CONNTRIM-TIMEOUT-IN")
    rule = "*raw\n-A PREROUTING -p tcp -j CT --timeout c401\nCOMMIT\n"
    with lab_host("boot") as boot, pytest.raises(HostError):
        boot.run("iptables-nft-restore", text=files["etc/iptables/rules.v4"].decode() + rule)


NFCT = """\
#!/bin/sh
cd {source} && exec {python} -c 'import sys
from conntrim.core.parse.ct_timeout import policies_of
from conntrim.host.ct_timeouts import CtTimeouts
CtTimeouts(None).done(policies_of(" ".join(["nfct", *sys.argv[1:]])))' "$@"
"""
"""Does what nfct 1.4.7 does with these words, whose package few hosts have."""


@pytest.mark.usefixtures("old_nft")
def test_with_nfct_a_unit_makes_policies_and_rules(gate: Gateway, tmp_path: Path) -> None:
    """A boot loads the operator's files, which stay as they are, then what the unit runs: policies, then rules. Stopped
    it takes both out. That the rules must not be saved besides is said; where raw has rules of others nothing is
    written."""
    (tmp_path / "old/nfct").write_text(NFCT.format(source=SOURCE, python=sys.executable))
    (tmp_path / "old/nfct").chmod(0o755)
    gate.load("iptables-nft")
    operator, root = SwiftOperator(gate.host, tmp_path), tmp_path / "root"
    installed(root, "debian")
    with_systemd(root)
    files = files_below(root)
    planned(operator)
    does(operator, "apply", str(tmp_path / "plan"))
    said = " ".join(does(operator, "confirm").split()).replace("- ", "-")
    assert "/etc/conntrim/untrack.v4, loaded by conntrim.service, and the time-out policies that it names" in said, said
    assert "save the running rules in none" in said
    assert files.items() <= files_below(root).items()
    kept, made = listed(gate), CtTimeouts(gate.host.name).listed()
    unit = (root / "etc/systemd/system/conntrim.service").read_text()
    for family in ("iptables", "ip6tables"):
        for option in ("-F", "-X"):
            gate.host.run(f"{family}-nft", "-t", "raw", option)
    CtTimeouts(gate.host.name).delete([each.name for each in made])
    runs(gate, unit, root, "ExecStartPre", "ExecStart")
    assert (listed(gate), CtTimeouts(gate.host.name).listed()) == (kept, made)
    assert (gate.connects(CLIENT, 1, 443), left(gate, 443)) == (1, [600])
    runs(gate, unit, root, "ExecStop")
    assert CtTimeouts(gate.host.name).listed() == ()
    runs(gate, unit, root, "ExecStartPre", "ExecStart")
    does(operator, "rollback")
    assert files_below(root) == files


def with_systemd(root: Path) -> None:
    """systemd is there."""
    (root / "lib/systemd").mkdir(parents=True)
    (root / "lib/systemd/systemd").touch()


def runs(gate: Gateway, unit: str, root: Path, *keys: str) -> None:
    """The unit's commands, as systemd does: what has a dash may fail."""
    for line in unit.splitlines():
        key, _, command = line.partition("=")
        words = command.lstrip("-").replace("/etc/conntrim/", f"{root}/etc/conntrim/").split()
        if key in keys:
            with suppress(HostError) if command.startswith("-") else nullcontext():
                if "--noflush" in words:  # the file is read as a boot's iptables-restore does
                    gate.host.run(*words[:-1], text=Path(words[-1]).read_text())
                else:
                    gate.host.run(*words)


@pytest.mark.usefixtures("old_nft")
def test_rules_of_others_in_raw_have_a_place_that_a_unit_does_not_know(gate: Gateway, tmp_path: Path) -> None:
    """The unit's rules would come behind them: nothing is written, and the first is named."""
    (tmp_path / "old/nfct").write_text("#!/bin/sh\n")
    (tmp_path / "old/nfct").chmod(0o755)
    gate.load("iptables-nft")
    gate.host.run("iptables-nft", "-t", "raw", "-A", "PREROUTING", "-i", "dummy7", "-j", "DROP")
    operator, root = SwiftOperator(gate.host, tmp_path), tmp_path / "root"
    installed(root, "debian")
    with_systemd(root)
    planned(operator)
    does(operator, "apply", str(tmp_path / "plan"))
    said = " ".join(does(operator, "confirm").split()).replace("- ", "-")
    assert "the raw table has rules besides, the first: -A PREROUTING -i dummy7 -j DROP" in said, said


@pytest.mark.usefixtures("without_nft")
def test_the_guard_ends_for_new_connections_and_a_clean_up_for_the_others(gate: Gateway, tmp_path: Path) -> None:
    """As with nft: what was opened during the trial keeps its time-outs until the rules and policies are gone."""
    gate.load("iptables-legacy")
    operator = SwiftOperator(gate.host, tmp_path)
    assert "keep its time-outs when it expires" in " ".join(planned(operator)[0].split())
    does(operator, "apply", str(tmp_path / "plan"), "--trial", "3s")
    outlives_the_trial(gate)
    does(operator, "status", "--clean")
    assert gate.alive(gate.opened) == len(gate.opened)
    assert settled(gate, *[HOST] * len(gate.opened))
    assert CtTimeouts(gate.host.name).listed() == ()


@pytest.mark.usefixtures("without_nft")
def test_a_confirm_loads_again_what_a_boot_has_not(gate: Gateway, tmp_path: Path) -> None:
    """Rules and policies are gone, as after a boot: status says so, and a confirm makes both again."""
    gate.load("iptables-legacy")
    operator, kernel = SwiftOperator(gate.host, tmp_path), CtTimeouts(gate.host.name)
    planned(operator)
    for verb in (("apply", str(tmp_path / "plan")), ("confirm",)):
        does(operator, *verb)
    made = kernel.listed()
    for program in ("iptables-legacy", "ip6tables-legacy"):
        for option in ("-F", "-X"):
            gate.host.run(program, "-t", "raw", option)
    kernel.delete([each.name for each in made])
    assert "of its rules are gone" in operator.does("status").stdout
    does(operator, "confirm")
    assert (kernel.listed(), gate.connects(CLIENT, 1, 443), left(gate, 443)) == (made, 1, [600])
    does(operator, "rollback")
    assert kernel.listed() == ()


@pytest.mark.usefixtures("without_nft")
def test_a_second_plan_stands_beside_the_first_under_other_names(gate: Gateway, tmp_path: Path) -> None:
    """A replacement has policies of its own; the first one's go when it is kept, and come back with a rollback."""
    gate.load("iptables-legacy")
    operator, kernel = SwiftOperator(gate.host, tmp_path), CtTimeouts(gate.host.name)
    for policy in (POLICY, MORE):
        planned(operator, policy)
        does(operator, "apply", str(tmp_path / "plan"))
        if policy == MORE:
            assert sorted(each.name for each in kernel.listed()) == ["c401", "c601", "d401", "d402", "d601", "d602"]
        does(operator, "confirm")
    assert (gate.connects(CLIENT, 1, 443), left(gate, 443)) == (1, [600])
    assert sorted(each.name for each in kernel.listed()) == ["d401", "d402", "d601", "d602"]
    does(operator, "rollback")
    assert sorted(each.name for each in kernel.listed()) == ["c401", "c601"]
    assert (gate.connects(CLIENT, 1, 443), left(gate, 443)) == (1, [600, 600])
    does(operator, "rollback")
    assert kernel.listed() == ()


@pytest.mark.parametrize("dialect", BACK_ENDS)
def test_what_ctnetlink_does_with_policies(gate: Gateway, dialect: str) -> None:
    """K151: the packet that opens a connection hands the time-outs on, older ones keep theirs. K152: a policy that a
    rule names cannot be deleted; once it is, entries have the host's at their next packet."""
    gate.load(dialect)
    kernel = CtTimeouts(gate.host.name)
    assert gate.connects(CLIENT, 1, 443) == 1
    kernel.done(policies_of(LONG.replace("conntrim-1", "c401")))
    gate.host.run(dialect, *names("c401"))
    assert gate.alive(gate.opened) == 1
    assert (gate.connects(CLIENT, 1, 443), settled(gate, 600, HOST)) == (1, True)
    with pytest.raises(HostError, match="busy"):
        kernel.delete(["c401"])
    gate.host.run(dialect, "-t", "raw", "-F")
    assert (gate.alive(gate.opened), settled(gate, 600, HOST)) == (2, True)
    kernel.delete(["c401"])
    assert (gate.alive(gate.opened), settled(gate, HOST, HOST)) == (2, True)


@pytest.mark.parametrize("dialect", BACK_ENDS)
def test_rules_are_listed_with_four_characters_of_a_name(dialect: str) -> None:
    """K150: a longer name is cut by the kernel. Legacy hands its whole table back with the next change, and cannot
    change it any more: there is no policy of that name."""
    with lab_host("names") as host:
        CtTimeouts(host.name).done(policies_of(f"{LONG}\n{LONG.replace('conntrim-1', 'c401')}"))
        host.run(dialect, *names("c401"))
        host.run(dialect, *names("conntrim-1"))
        rules = [line for line in host.run(f"{dialect}-save", "-t", "raw").splitlines() if line.startswith("-A")]
        assert [line.split()[-1] for line in rules] == ["c401", "conn"]
        if dialect == "iptables-legacy":
            with pytest.raises(HostError, match="by that name"):
                host.run(dialect, *names("c401"))
        else:
            host.run(dialect, *names("c401"))


def names(policy: str) -> tuple[str, ...]:
    """The words of a rule that names a policy."""
    return ("-t", "raw", "-A", "PREROUTING", "-p", "tcp", "--dport", "443", "-j", "CT", "--timeout", policy)


def test_policies_are_listed_as_they_were_made_and_states_left_alone_have_the_hosts() -> None:
    """K153: unlike nft's (K167), a policy of ctnetlink takes over the host's time-outs of the moment."""
    with lab_host("policies") as host:
        host.sysctl("net.netfilter.nf_conntrack_tcp_timeout_syn_sent", 33)
        kernel, made = CtTimeouts(host.name), policies_of("nfct add timeout c402 inet6 tcp close 5\n")
        kernel.done(made)
        (found,) = kernel.listed()
        assert (found.name, found.family, dict(found.seconds)["close"]) == ("c402", Family.IPV6, 5)
        assert dict(found.seconds)["syn_sent"] == 33
        assert policies_of(str(found)) == (found,)
        with pytest.raises(HostError, match="exists"):
            kernel.done(policies_of(f"nfct add timeout c403 inet udp replied 9\n{made[0]}"))
        assert kernel.listed() == (found,)


@pytest.mark.parametrize("dialect", BACK_ENDS)
def test_a_trial_load_makes_the_policies_that_rules_name(dialect: str) -> None:
    """The kernel is asked about both, and nothing of the question stays. A name that is taken is told."""
    program, guard = f"{dialect}-restore", Guard.starting(HostClock().now(), 60)
    rule = "-A CONNTRIM-TIMEOUT-IN -p udp -m udp --dport 53 {}-j CT --timeout c401"
    rules = "*raw\n:CONNTRIM-TIMEOUT-IN - [0:0]\n" + rule + "\nCOMMIT\n"
    with lab_host("asked") as host:
        line = "nfct add timeout c401 inet udp replied 30"
        assert complaint(Batch("nfct", f"{line}\n"), host.name, guard) == ""
        assert complaint(Batch(program, rules.format("")), host.name, guard) == ""
        assert complaint(Batch(program, rules.format("-m rpfilter -m hl --hl-eq 3 ")), host.name, guard) != ""
        assert CtTimeouts(host.name).listed() == ()
        CtTimeouts(host.name).done(policies_of(line))
        assert "there is a time-out policy c401 already" in complaint(Batch("nfct", f"{line}\n"), host.name, guard)


def test_a_server_is_told_apart_from_what_goes_through(gate: Gateway, tmp_path: Path, without_nft: None) -> None:
    """Inbound and outbound connections of the gateway itself have time-outs of their own, and forwarded ones to the
    same port do not."""
    gate.load("iptables-legacy")
    operator = SwiftOperator(gate.host, tmp_path)
    entry = '[[timeout]]\ndirection = "{}"\nprotocol = "tcp"\nports = [{}]\nseconds = {{ established = {} }}\n'
    ways = entry.format("inbound", 22, 33), entry.format("outbound", 80, 120)
    planned(operator, "accept_below_rfc = true\n".join((*ways, "")))
    does(operator, "apply", str(tmp_path / "plan"))
    gate.host.start("python3", "-m", "http.server", "22")
    assert until(lambda: ":22" in gate.host.run("ss", "-Htnl"))
    assert (gate.connects(CLIENT, 1, 22, f"{LAN}.1"), left(gate, 22)) == (1, [33])
    assert (gate.connects(CLIENT, 1, 80), left(gate, 80)) == (1, [HOST])
    gate.clients, clients = gate.host, gate.clients
    assert (gate.connects("192.0.2.1", 1, 80, SERVER), left(gate, 80)) == (1, [120, HOST])
    gate.clients = clients


def test_without_a_journal_policies_go_by_their_names(tmp_path: Path) -> None:
    """Those that are called as ours go; one of another name stays, and so does one that somebody's rule names."""
    lines = [f"nfct add timeout {name} inet udp replied 30" for name in ("c401", "d402", "theirs")]
    with lab_host("left") as host:
        kernel = CtTimeouts(host.name)
        kernel.done(policies_of("\n".join(lines)))
        words = "rollback", "--without-journal", "--state", str(tmp_path / "state")
        done = conntrim(host, *words)
        assert (done.returncode, b"taken out by their names: 2 time-out policies" in done.stdout) == (0, True)
        assert [each.name for each in kernel.listed()] == ["theirs"]
        kernel.done(policies_of(lines[0]))
        host.run("iptables-legacy", "-t", "raw", "-A", "OUTPUT", "-p", "udp", "-j", "CT", "--timeout", "c401")
        done = conntrim(host, *words)
        assert (done.returncode, b"with a name like ours stays" in done.stdout) == (0, True)
        assert {each.name for each in kernel.listed()} == {"c401", "theirs"}
