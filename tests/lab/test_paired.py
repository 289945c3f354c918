"""Tables of iptables-nft with rules that nft itself put there, read from both listings and held against the kernel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from conntrim.core.emit.iptables import restore_text
from conntrim.core.model.errors import HostError
from conntrim.core.model.fields import Field
from conntrim.core.model.plan import Batch
from conntrim.core.model.protocol import NAMES
from conntrim.core.model.ruleset import Dialect, In, InSet, OpaqueMatch, Rule, Ruleset, TableFamily
from conntrim.host.listing import KernelListing
from conntrim.host.nf_tables import generation, legacy_names, table_names
from conntrim.lab.netns import LabHost, lab_host
from conntrim.lab.oracle import TABLE
from tests.lab.commands import conntrim, fed, planned, undecided
from tests.lab.oracles import KernelCheck

GUARDED = """\
*filter
:INPUT DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT
-A OUTPUT -m conntrack --ctstate INVALID -j DROP
COMMIT
"""
"""A usual firewall: without the arguments of conntrack nobody knows what it lets through."""

NATIVE = {
    "set": "tcp dport { 8001, 8002 } accept",
    "verdict map": "tcp dport vmap { 8001 : accept, 8002 : drop }",
    "range of addresses": "ip saddr 198.51.100.1-198.51.100.7 tcp dport 8001 accept",
    "named set": "tcp dport @ports accept",
    "concatenation": "ip saddr . tcp dport { 198.51.100.1 . 8001, 198.51.100.9 . 8002 } accept",
}
"""Rules that iptables-nft-save prints without a warning, and wrongly (K96)."""

SAVE_FAILS = {"dscp": "ip dscp 10 accept", "user": "meta skuid 5 accept", "ct state": "ct state established accept"}
"""Rules beside which the save fails, or prints nothing of the table."""


def mixed(host: LabHost, rule: str, text: str = GUARDED) -> None:
    """iptables' rules and one of nft's own in front of the last."""
    host.run("iptables-nft-restore", text=text)
    host.run("nft", "add", "set", "ip", "filter", "ports", "{ type inet_service; }")
    host.run("nft", "add", "element", "ip", "filter", "ports", "{ 8001 }")
    host.run("nft", "insert", "rule", "ip", "filter", "INPUT", "index", "2", rule)


def read(host: LabHost) -> Ruleset:
    """The kernel's rules as we read them."""
    return KernelListing().read(host.name).ruleset


def rules(ruleset: Ruleset, chain: str = "INPUT") -> tuple[Rule, ...]:
    """Those of one chain of table ip filter."""
    table = next(t for t in ruleset.tables if t.name == "filter" and t.family is TableFamily.IP)
    found = table.chain(chain)
    return found.rules if found else ()


@pytest.mark.parametrize("native", NATIVE)
def test_native_rules_are_read_as_they_are(checked: KernelCheck, native: str) -> None:
    """Beside iptables' conntrack rules: kernel and model agree about packets that the save's words would confuse."""
    checked.oracle.load([
        Batch("iptables-nft-restore", GUARDED),
        Batch("nft", "add set ip filter ports { type inet_service; }\nadd element ip filter ports { 8001 }\n"
              f"insert rule ip filter INPUT index 2 {NATIVE[native]}\n"),
    ])  # fmt: skip
    found = KernelListing().read(checked.oracle.host.name).ruleset
    checked.ruleset = replace(found, tables=tuple(t for t in found.tables if t.name != TABLE))
    assert () == checked.ruleset.unread
    for port in (22, 80, 8001, 8002, 8003):
        for source in ("198.51.100.1", "198.51.100.9"):
            checked.play(f"eth0> tcp {source} 4000 > 192.0.2.1 {port} S")


def test_an_operator_is_not_locked_out(host: LabHost, tmp_path: Path) -> None:
    """One native rule beside a usual firewall: the plan has the accepts that the truth needs, at their places, and
    after apply, confirm and rollback the rules are what they were."""
    mixed(host, NATIVE["verdict map"])
    before = fed(host, b"", "nft", "-s", "list", "table", "ip", "filter")
    made = planned(host, tmp_path)
    assert (0, []) == (made.returncode, undecided(made)), made.stdout
    texts = "".join(path.read_text() for path in sorted((tmp_path / "plan/trial").iterdir()))
    assert "--ctstate UNTRACKED" in texts
    rest = ["--state", str(tmp_path / "state"), "--root", str(tmp_path / "root")]
    for verb, words in (("apply", [str(tmp_path / "plan"), *rest]), ("confirm", rest), ("rollback", rest)):
        done = conntrim(host, verb, *words)
        assert (verb, 0, b"") == (verb, done.returncode, done.stderr), done.stdout
        if verb == "confirm":
            accepted = [str(r.text) for r in rules(read(host)) if "UNTRACKED" in r.text]
            assert accepted, "the accepts are there"
    assert before == fed(host, b"", "nft", "-s", "list", "table", "ip", "filter")


@pytest.mark.parametrize("native", SAVE_FAILS)
def test_what_no_listing_tells_is_not_decided(host: LabHost, tmp_path: Path, native: str) -> None:
    """Where the save fails, nft's listing has lost what -m conntrack asks: nothing is proved and apply refuses."""
    mixed(host, SAVE_FAILS[native])
    assert read(host).unread
    made = planned(host, tmp_path)
    assert 1 == made.returncode
    assert any("conntrack, whose arguments nft does not list" in " ".join(made.stdout.decode().split())
               for _ in undecided(made)), made.stdout  # fmt: skip
    refused = conntrim(host, "apply", str(tmp_path / "plan"), "--state", str(tmp_path / "state"), "--yes",
                       "--probe", "192.0.2.1:22")  # fmt: skip
    assert 0 != refused.returncode
    assert b"UNTRACKED" not in fed(host, b"", "nft", "list", "ruleset")
    assert 1 == conntrim(host, "check").returncode


def test_a_failing_save_costs_only_its_table(host: LabHost) -> None:
    """The other tables are read from both listings all the same."""
    mixed(host, SAVE_FAILS["dscp"])
    host.run(
        "iptables-nft-restore", "--noflush", text="*mangle\n-A INPUT -m recent --name x --rcheck -j DROP\nCOMMIT\n"
    )
    found = read(host)
    mangle = next(t for t in found.tables if t.name == "mangle")
    chain = mangle.chain("INPUT")
    assert chain is not None
    assert (Dialect.IPTABLES_NFT, ["recent"]) == (
        mangle.dialect,
        [m.kind for m in chain.rules[0].matches if isinstance(m, OpaqueMatch)],
    )


def test_plain_rules_mean_the_same_in_both_listings(host: LabHost) -> None:
    """Whatever iptables itself writes without `xt`: the save's words are kept for every rule, so both agree."""
    host.run("iptables-nft-restore", text=PLAIN)
    found = rules(read(host))
    assert ["iptables-nft-save"] * (PLAIN.count("-A INPUT") + 1) == [r.place.source for r in found]  # -s a,b: two rules
    assert () == read(host).unread


PLAIN = """\
*filter
:INPUT DROP [0:0]
:web - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT ! -i eth+ -p tcp -j DROP
-A INPUT -s 10.0.0.0/8 -d 192.0.2.1/32 -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -s 10.0.0.1,10.0.0.2 -j ACCEPT
-A INPUT ! -s 10.0.0.0/8 -j web
-A INPUT -s 10.0.0.1/255.0.255.0 -j web
-A INPUT -p udp -m udp --sport 1024:65535 --dport 53 -j ACCEPT
-A INPUT -p udp -m udp ! --dport 53 -j DROP
-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP
-A INPUT -p tcp -m tcp ! --tcp-flags SYN,ACK SYN -j DROP
-A INPUT -f -j DROP
-A INPUT -p 123 -j DROP
-A INPUT ! -p 47 -g web
-A INPUT -m mark --mark 0x5/0xff -j DROP
-A INPUT -m limit --limit 5/sec -j ACCEPT
-A INPUT -p esp
-A INPUT -j RETURN
COMMIT
"""


@pytest.mark.parametrize("back_end", ["nft", "legacy"])
def test_every_protocol_of_the_host_is_read(host: LabHost, back_end: str) -> None:
    """Each name of /etc/protocols, which the save programs print, comes back as its number; none costs a table."""
    numbers = sorted({int(line.split()[1]) for line in Path("/etc/protocols").read_text().splitlines()
                      if line[:1].isalpha() and 0 < int(line.split()[1]) < 256})  # fmt: skip
    lines = "".join(f"-A INPUT -p {number} -m recent --name x --rcheck -j DROP\n" for number in numbers)
    host.run(f"iptables-{back_end}-restore", text=f"*filter\n{lines}COMMIT\n")
    host.run(f"ip6tables-{back_end}-restore", text=f"*filter\n{lines}COMMIT\n")
    found = read(host)
    assert () == found.unread
    assert 2 == len(found.tables)
    for table in found.tables:
        told = [m.values.ranges for c in table.chains for r in c.rules for m in r.matches
                if isinstance(m, In) and m.field is Field.PROTOCOL]  # fmt: skip
        assert [((number, number),) for number in numbers] == told
    assert set(numbers) <= set(NAMES)


@pytest.mark.parametrize("back_end", ["nft", "legacy"])
def test_names_with_spaces_and_quotes(host: LabHost, back_end: str) -> None:
    """Sets and recent lists are printed without quotes; their rules are read, and the set's content is known."""
    sets = ["a b", 'q"x', "it's"]
    for name in sets:
        host.run("ipset", "create", name, "hash:ip")
        host.run("ipset", "add", name, "198.51.100.9")
        host.run(f"iptables-{back_end}", "-A", "INPUT", "-m", "set", "--match-set", name, "src", "-j", "DROP")
        host.run(f"iptables-{back_end}", "-A", "INPUT", "-m", "recent", "--name", name, "--rcheck", "-j", "DROP")
    found = read(host)
    assert () == found.unread
    table = next(t for t in found.tables if t.name == "filter")
    told = [m for r in rules(found) for m in r.matches]
    assert [InSet(name, (Field.SRC,)) for name in sets] == [m for m in told if isinstance(m, InSet)]
    assert [True, True, True] == [s.known and len(s.elements) == 1 for s in table.sets]
    assert ["recent"] * 3 == [m.kind for m in told if isinstance(m, OpaqueMatch)]
    again = restore_text(found, table.dialect, TableFamily.IP)
    host.run(f"iptables-{back_end}-restore", text=again)
    assert rules(found) == rules(read(host))


def test_one_line_that_is_not_understood_is_one_opaque_rule(host: LabHost, tmp_path: Path) -> None:
    """A legacy table with a rule that the model cannot read stands with all others, the rule is named, and nothing is
    proved over it."""
    host.run("iptables-legacy-restore", text=GUARDED)
    odd = "x  y"  # two spaces: the save prints them, but no word has them
    host.run("iptables-legacy", "-A", "INPUT", "-m", "recent", "--name", odd, "--rcheck", "-j", "DROP")
    found = read(host)
    assert 1 == len(found.unread)
    assert "iptables-legacy-save:" in found.unread[0]
    assert "--name x  y" in found.unread[0]
    assert GUARDED.count("-A INPUT") + 1 == len(rules(found))
    made = planned(host, tmp_path)
    assert 1 == made.returncode
    assert b"not every rule could be read" in made.stdout


def test_the_kernel_tells_when_rules_change(host: LabHost) -> None:
    """The generation counts up with each change and stays without one; tables are known without any program."""
    host.run("iptables-nft-restore", text=GUARDED)
    before = generation(host.name)
    assert (before, ("ip filter",)) == (generation(host.name), table_names(host.name))
    host.run("iptables-nft", "-A", "OUTPUT", "-j", "ACCEPT")
    assert before != generation(host.name)
    assert () == legacy_names(host.name)
    host.run("iptables-legacy", "-A", "OUTPUT", "-j", "ACCEPT")
    assert ("ip filter",) == legacy_names(host.name)


@pytest.mark.corpus
def test_strangers_rules_pair(corpus: Path) -> None:
    """Other people's files, loaded by iptables-nft: each table comes from both listings, and nothing stays unread."""
    read_in_full = 0
    for path in sorted((corpus / "iptables").iterdir())[::6]:
        program = "ip6tables" if path.name.startswith("ip6") else "iptables"
        with lab_host("theirs") as theirs:
            try:
                theirs.run(f"{program}-nft-restore", text=path.read_text(encoding="utf-8"))
            except HostError:
                continue
            found = read(theirs)
        assert ((), {Dialect.IPTABLES_NFT}) == (found.unread, {t.dialect for t in found.tables}), path.name
        read_in_full += 1
    assert read_in_full > 4
