"""One comment in Latin-1 among the operator's rules: every verb still works, and what is written is what was there."""

from __future__ import annotations

from pathlib import Path

import pytest

from conntrim.lab.netns import LabHost
from tests.lab.commands import conntrim, fed, planned

XT = """\
*filter
:INPUT DROP [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "caf\udce9" -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT
COMMIT
"""
NFT = """\
table inet filter {
  chain input {
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    tcp dport 22 accept comment "caf\udce9"
    tcp dport 80 ct state new accept
  }
}
"""
RULES = {"iptables-nft": XT, "iptables-legacy": XT, "nft": NFT}


def load(host: LabHost, dialect: str) -> None:
    """The operator's rules."""
    argv = ["nft", "-f", "-"] if dialect == "nft" else [f"{dialect}-restore"]
    fed(host, RULES[dialect].encode("utf-8", "surrogateescape"), *argv)


def listing(host: LabHost, dialect: str) -> list[bytes]:
    """The rules as their program prints them."""
    argv = ["nft", "-s", "list", "ruleset"] if dialect == "nft" else [f"{dialect}-save"]
    text = fed(host, b"", *argv)
    return [line for line in text.split(b"\n") if dialect == "nft" or line.startswith(b"-A ")]


@pytest.mark.parametrize("dialect", RULES)
def test_every_verb_works_beside_a_comment_in_latin_1(host: LabHost, tmp_path: Path, dialect: str) -> None:
    """Plan, apply, confirm, status and rollback end as they do without it, and leave it as it was, byte by byte."""
    load(host, dialect)
    before = listing(host, dialect)
    rest = ["--state", str(tmp_path / "state"), "--root", str(tmp_path / "root")]
    made = planned(host, tmp_path)
    assert (0, b"") == (made.returncode, made.stderr), made.stdout
    for verb, words in (("apply", [str(tmp_path / "plan"), *rest]), ("status", rest[:2]), ("confirm", rest),
                        ("status", rest[:2]), ("rollback", rest)):  # fmt: skip
        done = conntrim(host, verb, *words)
        assert (verb, 0, b"") == (verb, done.returncode, done.stderr), done.stdout
    assert before == listing(host, dialect)


def test_without_a_journal_too(host: LabHost, tmp_path: Path) -> None:
    """What the marks tell apart is taken out, though another rule's comment is no UTF-8."""
    load(host, "iptables-nft")
    before = listing(host, "iptables-nft")
    planned(host, tmp_path)
    state = ["--state", str(tmp_path / "state")]
    assert 0 == conntrim(host, "apply", str(tmp_path / "plan"), *state).returncode
    done = conntrim(host, "rollback", "--without-journal", *state)
    assert (0, b"") == (done.returncode, done.stderr)
    assert before == listing(host, "iptables-nft")


def test_a_file_of_rules_in_latin_1_is_persisted_and_put_back(host: LabHost, tmp_path: Path) -> None:
    """`confirm` writes netfilter-persistent's file with the operator's own bytes in it; `rollback` restores them."""
    load(host, "iptables-nft")
    rules = tmp_path / "root/etc/iptables/rules.v4"
    rules.parent.mkdir(parents=True)
    rules.write_bytes(XT.encode("utf-8", "surrogateescape"))
    wanted = tmp_path / "root/etc/systemd/system/multi-user.target.wants"
    wanted.mkdir(parents=True)
    (wanted / "netfilter-persistent.service").write_text("")
    rest = ["--state", str(tmp_path / "state"), "--root", str(tmp_path / "root")]
    planned(host, tmp_path)
    for verb, words in (("apply", [str(tmp_path / "plan"), *rest]), ("confirm", rest)):
        done = conntrim(host, verb, *words)
        assert (verb, 0, b"") == (verb, done.returncode, done.stderr), done.stdout
    kept = rules.read_bytes()
    assert (1, True) == (kept.count(b'"caf\xe9"'), b"CONNTRIM-" in kept)
    assert 0 == conntrim(host, "rollback", *rest).returncode
    assert rules.read_bytes() == XT.encode("utf-8", "surrogateescape")
