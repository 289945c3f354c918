"""Witnesses on the kernel: what the prover says of a packet, the packet does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conntrim.core.diagnose.rulesets.registry import check_ruleset
from conntrim.core.diagnose.rulesets.untracked_hole import CODE
from conntrim.core.model.address import parse_address
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import TableFamily
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.compare import compare
from conntrim.core.prove.populations import PACKETS, Population
from conntrim.lab import document
from conntrim.lab.claims import Claim, scenes_of, unplayable
from conntrim.lab.replay import answered, batches_of, replay, stage

FIREWALL = document.firewall(document.WEB_PORTS)
AT_THE_END = document.FINAL + document.firewall(document.WEB_PORTS, document.WITH_UNTRACKED)
LOCAL = Intervals.of(parse_address("192.168.0.18"))


def test_the_closed_port_answers_through_the_documents_hole() -> None:
    """K20: the packet that `check` shows reaches a port that the firewall closes, and the server there answers it."""
    before, after = (read(text, "rules.v4") for text in (FIREWALL, AT_THE_END))
    (finding,) = [f for f in check_ruleset(after, LOCAL).findings if f.code == CODE]
    witness = finding.witness
    assert witness is not None
    assert (11211, True) == (witness.sport, witness.dport not in document.WEB_PORTS)
    heard = []
    with stage(("eth0",), answers=True) as made:
        for ruleset in (before, after):
            made.oracle.load(batches_of(ruleset))
            with made.listening(witness):
                heard.append(answered(made.perform([witness])[-1]))
            made.oracle.unload()
    assert [False, True] == heard


NFT = """{"nftables": [
{"table": {"family": "inet", "name": "t"}},
{"chain": {"family": "inet", "table": "t", "name": "in", "type": "filter", "hook": "input", "prio": 0,
 "policy": "drop"}},
{"chain": {"family": "inet", "table": "t", "name": "on", "type": "filter", "hook": "forward", "prio": 0,
 "policy": "accept"}},
{"rule": {"family": "inet", "table": "t", "chain": "in", "expr": [
 {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": %s}}, {"accept": null}]}},
{"rule": {"family": "inet", "table": "t", "chain": "on", "expr": [
 {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": %d}}, {"drop": null}]}}
]}"""


def test_every_population_is_played() -> None:
    """Unsolicited packets, connections and ICMP errors about them, both families, in and through: all confirmed."""
    before = read(NFT % ('["established", "new"]', 53), "before")
    after = read(NFT % ('["related", "new"]', 54), "after")
    found = compare(before, after)
    assert set(PACKETS) - {Population.EXPECTED} <= {d.population for d in found.differences}
    played = replay(before, after, list(scenes_of(found)))
    assert [] == [one for one in played if not one.confirmed]
    assert len(played) >= 8


def test_a_false_witness_is_not_confirmed() -> None:
    """With the two rule sets exchanged the kernel refutes every witness."""
    before, after = (read(text, "rules.v4") for text in (FIREWALL, AT_THE_END))
    scenes = list(scenes_of(compare(before, after)))
    assert [False] * len(scenes) == [one.confirmed for one in replay(after, before, scenes)]


@pytest.mark.parametrize(("files", "code"), [(("rules",), 0), (("closed", "rules"), 0), (("rules", "rules"), 0)])
def test_the_verb_tells_what_the_kernel_did(tmp_path: Path, files: tuple[str, ...], code: int) -> None:
    """One file is compared with itself without NOTRACK, two with each other; the same twice has no witness."""
    for name, text in (("closed", FIREWALL), ("rules", AT_THE_END)):
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "conntrim", "lab", "replay", *(str(tmp_path / name) for name in files)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (code, "") == (ended.returncode, ended.stderr)
    same = files == ("rules", "rules")
    first = "the same: both rule sets treat every packet alike" if same else "this kernel confirms 8 of 8 witnesses"
    assert first == ended.stdout.splitlines()[0]


MARKED = """{"nftables": [
{"table": {"family": "inet", "name": "t"}},
{"chain": {"family": "inet", "table": "t", "name": "out", "type": "filter", "hook": "output", "prio": 0,
 "policy": "accept"}},
{"rule": {"family": "inet", "table": "t", "chain": "out", "expr": [
 {"match": {"op": "==", "left": {"meta": {"key": "%s"}}, "right": %d}}, {"drop": null}]}}
]}"""


@pytest.mark.parametrize(("key", "value"), [("mark", 7), ("length", 333)])
def test_a_witness_has_the_mark_or_length_that_rules_ask_for(key: str, value: int) -> None:
    """What a host sends can be marked, and be as long as it takes: both are sent so, and dropped."""
    before, after = (read(MARKED % (key, number), "rules") for number in (0, value))
    found = compare(before, after)
    wanted = [s for s in scenes_of(found) if s.claim is Claim.DROPPED and not unplayable(s.witness)]
    played = replay(before, after, wanted)
    assert [True] * len(played) == [one.confirmed for one in played]
    assert len(played) >= 2


ONE_SIDED = """\
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 80 -m addrtype --dst-type LOCAL -j CT --notrack
-A OUTPUT -p tcp -m tcp --sport 80 {}-j CT --notrack
COMMIT
*filter
:INPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate INVALID -j DROP
COMMIT
"""


@pytest.mark.parametrize("family", [TableFamily.IP, TableFamily.IP6])
def test_connections_under_an_address_that_is_none_of_the_hosts_are_played_so(family: TableFamily) -> None:
    """K123: their requests are taken in, and to the rules that ask for its type the address is not the host's own. So
    answers alone are untracked once the rule for them no longer asks."""
    own = Intervals.of(parse_address("192.168.0.18"), parse_address("2001:db8::18"))
    before, after = (read(ONE_SIDED.format(asks), "rules", family) for asks in ("-m addrtype --src-type LOCAL ", ""))
    played = replay(before, after, list(scenes_of(compare(before, after, own))))
    assert [] == [one for one in played if not one.confirmed and not one.missing]
    assert 3 == sum(one.confirmed for one in played)


@pytest.mark.parametrize("family", [TableFamily.IP, TableFamily.IP6])
def test_what_a_helper_expects_is_played(family: TableFamily) -> None:
    """K124: connections that a rule for RELATED packets lets in, and one for errors alone does not."""
    filtered = "*filter\n:INPUT DROP [0:0]\n-A INPUT {}-m conntrack --ctstate RELATED -j ACCEPT\nCOMMIT\n"
    error = "-p icmp " if family is TableFamily.IP else "-p ipv6-icmp "
    before, after = (read(filtered.format(protocol), "rules", family) for protocol in ("", error))
    scenes = [scene for scene in scenes_of(compare(before, after)) if scene.expected]
    played = replay(before, after, scenes)
    assert [] == [one for one in played if not one.confirmed and not one.missing]
    assert any("prerouting related" in one.before for one in played if one.confirmed)
