"""The verb `explain` from its command line: JSON, errors and exit codes."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from conntrim.cli.main import run

HOSTS = Path(__file__).parents[2] / "golden" / "hosts"
RULES = ["--ruleset", str(HOSTS / "web-final.save")]
TCP = ["-p", "tcp", "-s", "203.0.113.9", "--sport", "40000", "-d", "192.168.0.18", "--dport", "80"]


def test_json_holds_the_same_story(capsys: pytest.CaptureFixture[str]) -> None:
    """One object of kind `explanation` with verdict, answer and the path with file and line."""
    assert run(["explain", *TCP, "-i", "eth0", *RULES, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert ("explanation", "accept") == (told["kind"], told["verdict"])
    first = told["packets"][0]["path"][0]
    assert ("prerouting", "raw", f"{HOSTS / 'web-final.save'}:4") == (first["hook"], first["table"], first["place"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-i", "eth0"], 0),
        (["-i", "eth0", "--flags", "syn,ack"], 0),
        (["-i", "eth0", "--dport", "3306"], 1),
        (["-i", "eth0", "--dport", "22", "--table-full"], 1),
        (["-i", "eth0", "--dport", "22", "--flags", "ack", "--tcp-loose", "0"], 1),
    ],
)
def test_exit_codes(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """0 where the packet is accepted, 1 where it is not."""
    assert code == run(["explain", *TCP, *arguments, *RULES])
    assert capsys.readouterr().err == ""


BAD: dict[str, tuple[list[str], str]] = {
    "no address": ([*TCP, "-s", "web", "-i", "eth0", *RULES], "-s: web is no address"),
    "two families": ([*TCP, "-d", "2001:db8::1", "-i", "eth0", *RULES], "different families"),
    "no protocol": ([*TCP, "-p", "tpc", "-i", "eth0", *RULES], "no protocol tpc"),
    "no way": ([*TCP, *RULES], "nothing says where the packet comes from"),
    "no port": (["-p", "udp", "-s", "192.0.2.1", "-d", "192.0.2.2", "-i", "eth0", *RULES], "this protocol has ports"),
    "no flag": ([*TCP, "-i", "eth0", "--flags", "sin", *RULES], "no TCP flag sin"),
    "no type": (["-p", "icmp", "-s", "192.0.2.1", "-d", "192.0.2.2", "-i", "e", "--icmp", "x", *RULES], "no type"),
    "no mark": ([*TCP, "-i", "eth0", "--mark", "red", *RULES], "red is no number"),
    "no prefix": ([*TCP, "-i", "eth0", "--local", "here", *RULES], "--local"),
    "no file": ([*TCP, "-i", "eth0", "--ruleset", "/nonexistent"], "/nonexistent: No such file"),
    "both": ([*TCP, "-i", "eth0", "--netns", "x", *RULES], "files have no namespace"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr that names what is wrong; exit code 2."""
    arguments, told = BAD[name]
    assert 2 == run(["explain", *arguments])
    out, err = capsys.readouterr()
    assert ("", 1) == (out, len(err.splitlines()))
    assert told in err


def test_a_broken_file_is_named_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A save file that stops in the middle."""
    path = tmp_path / "rules.v4"
    path.write_text("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp")
    assert 2 == run(["explain", *TCP, "-i", "eth0", "--ruleset", str(path)])
    assert f"{path}:3: table filter has no COMMIT" in capsys.readouterr().err


def test_echo_and_query_dialogues(capsys: pytest.CaptureFixture[str]) -> None:
    """`--connection` of ICMP is an echo with its reply, of UDP two queries with their answers."""
    ends = ["-s", "203.0.113.9", "-d", "192.168.0.18", "-i", "eth0", "--connection", *RULES]
    assert 0 == run(["explain", "-p", "icmp", *ends])
    assert "all 2 packets get through, 1 entry" in capsys.readouterr().out
    assert 1 == run(["explain", "-p", "udp", "--sport", "4000", "--dport", "53", *ends])
    assert capsys.readouterr().out.startswith("rejected: packet 1 of 4, the query, in input by")


@pytest.mark.parametrize(
    ("option", "match"),
    [
        (("--ecn", "3"), "-m ecn --ecn-ip-ect 3"),
        (("--dscp", "46"), "-m dscp --dscp 46"),
        (("--ttl", "1"), "-m ttl --ttl-lt 2"),
        (("--length", "1500"), "-m length --length 1500"),
    ],
)
def test_what_a_header_holds_can_be_said(
    option: tuple[str, str], match: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rule that asks for it is not decided where nothing is said, met where it is so, passed by where it is not."""
    rules = tmp_path / "rules.v4"
    rules.write_text(f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {match} -j DROP\nCOMMIT\n")
    asked = ["explain", *TCP, "-i", "eth0", "--ruleset", str(rules)]
    assert (run([*asked, *option]), run([*asked, option[0], "2"])) == (1, 0)
    capsys.readouterr()
    assert run(asked) == 1
    assert capsys.readouterr().out.startswith("not decided")


GATE = """*nat
-A PREROUTING -i wan0 -p tcp --dport 8443 -j DNAT --to-destination 10.77.0.5:443
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -s 10.77.0.0/16 -p tcp -m tcp --dport 2222 -m conntrack --ctstate NEW -j ACCEPT
-A INPUT -p tcp -m tcp --dport 8022 -j ACCEPT
-A FORWARD -o dmz0 -d 10.77.0.5 -p tcp --dport 443 -j ACCEPT
COMMIT
"""


@pytest.fixture
def gate(tmp_path: Path) -> list[str]:
    """A gateway's rules."""
    (tmp_path / "gate.save").write_text(GATE)
    return ["-p", "tcp", "-s", "198.51.100.30", "-d", "203.0.113.40", "--ruleset", str(tmp_path / "gate.save")]


def test_why_is_my_ssh_blocked(gate: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without a source port too: which rule would have let it in but for one condition, and none that means others."""
    assert 1 == run(["explain", *gate, "--dport", "2222", "-i", "wan0", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ("dropped in input: policy drop", 1) == (told["answer"], len(told["because"]))
    assert "gate.save:9 would accept it, but for its source address: -A INPUT -s 10.77.0.0/16" in told["because"][0]
    assert ["no --sport: asked as from port 50000, one of those that programs get by chance"] == told["remarks"]
    assert 0 == run(["explain", *gate, "--dport", "2222", "-i", "wan0", "-s", "10.77.1.1"])
    assert "would accept" not in capsys.readouterr().out


@pytest.mark.parametrize(("out", "code"), [("dmz0", 0), ("lan0", 1)])
def test_an_interface_that_is_given_holds_behind_a_translation(
    gate: list[str], out: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A packet that DNAT sends on leaves by what -o says, and rules decide about it; without -o nobody knows."""
    assert code == run(["explain", *gate, "--dport", "8443", "-i", "wan0", "-o", out, "--local", "203.0.113.40"])
    assert not capsys.readouterr().out.startswith("not decided")
    assert 1 == run(["explain", *gate, "--dport", "8443", "-i", "wan0", "--local", "203.0.113.40"])
    assert capsys.readouterr().out.startswith("not decided: it depends on the outgoing interface is dmz0")


@pytest.mark.parametrize(("ports", "answer"), [
    (["--physdev-in", "tap7", "--physdev-out", "uplink"], "accepted in forward by"),
    (["--physdev-in", "uplink", "--physdev-out", "tap7"], "dropped in forward: policy drop"),
    ([], "not decided: it depends on physdev: --physdev-in tap+"),
])  # fmt: skip
def test_the_ports_of_a_bridge_are_what_is_given(
    ports: list[str], answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rule with -m physdev is decided about a packet whose ports were said, and about no other."""
    path = tmp_path / "bridge.save"
    path.write_text("*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m physdev --physdev-in tap+ -j ACCEPT\nCOMMIT\n")
    run(["explain", *TCP, "-i", "br0", "-o", "br0", *ports, "--ruleset", str(path)])
    assert capsys.readouterr().out.startswith(answer)


ROUTES = ["--route", "0.0.0.0/0,wan0", "--route", "10.20.0.0/16,lan0"]


@pytest.mark.parametrize(("source", "device", "said"), [
    ("10.20.7.7", "lan0", "accepted"), ("10.20.7.7", "wan0", "dropped in prerouting"),
    ("203.0.113.8", "lan0", "dropped in prerouting"), ("203.0.113.8", "wan0", "accepted"),
    ("192.0.2.50", "wan0", "dropped in prerouting"),
])  # fmt: skip
def test_the_way_back_is_decided_by_routes(
    source: str, device: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """K116: the longest prefix tells the interface; the host's own address is reached by none of them."""
    path = tmp_path / "rules"
    path.write_text("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m rpfilter --invert -j DROP\nCOMMIT\n")
    packet = ["-p", "tcp", "-s", source, "-d", "192.0.2.50", "--dport", "22", "-i", device]
    run(["explain", "--ruleset", str(path), *packet, "--local", "192.0.2.50", *ROUTES])
    assert capsys.readouterr().out.startswith(said)


def test_without_routes_the_usual_way_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody said by which interface the sender is reached: decided for a first attempt by the usual way, and told."""
    path = tmp_path / "rules"
    path.write_text("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m rpfilter --invert -j DROP\nCOMMIT\n")
    packet = ["-p", "tcp", "-s", "10.1.1.1", "-d", "192.0.2.50", "--dport", "22", "-i", "eth7"]
    run(["explain", "--ruleset", str(path), *packet])
    told = capsys.readouterr().out
    assert told.startswith("accepted")
    assert "first attempt" in told


PUBLISHED = """\
*nat
:PREROUTING ACCEPT [0:0]
:PUBLISHED - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j PUBLISHED
-A PUBLISHED -p tcp -m tcp --dport 9443 -j DNAT --to-destination 10.66.0.5:443
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -d 10.66.0.5/32 ! -i pods0 -o pods0 -p tcp -m tcp --dport 443 -j ACCEPT
COMMIT
"""


@pytest.mark.parametrize(("to", "said", "assumed"), [
    ("192.0.2.60 9443", "accepted", True), ("10.66.0.5 443", "accepted", False),
    ("192.0.2.60 9444", "dropped", False), ("10.66.0.5 8080", "dropped", False),
])  # fmt: skip
def test_a_published_port_asked_with_the_interface_behind_it(
    to: str, said: str, assumed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --local what is for a published port is taken for this host's own address, and a note says so; where no
    rule turns on that nothing is assumed."""
    path = tmp_path / "rules"
    path.write_text(PUBLISHED)
    address, port = to.split()
    packet = ["-p", "tcp", "-s", "203.0.113.8", "-d", address, "--dport", port, "-i", "wan0", "-o", "pods0"]
    run(["explain", "--ruleset", str(path), *packet])
    told = capsys.readouterr().out
    assert told.startswith(said)
    assert assumed is ("--local tells those" in told)


BANNED = """\
*filter
:INPUT DROP [0:0]
:BOUNCER - [0:0]
-A INPUT -j BOUNCER
-A INPUT -p tcp -m tcp --dport 23 -j SET --add-set nosy src --exist
-A INPUT -m set --match-set nosy src -j DROP
-A INPUT -p tcp -m tcp --dport 8443 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 23 -j ACCEPT
-A BOUNCER -m set --match-set banned src -j DROP
COMMIT
"""
LISTED = """\
create banned hash:net family inet hashsize 1024 maxelem 65536 timeout 900
add banned 203.0.113.32/29 timeout 812
create nosy hash:ip family inet hashsize 1024 maxelem 65536
"""


@pytest.mark.parametrize(("source", "port", "said", "listed"), [
    ("203.0.113.34", "8443", "dropped", "banned"), ("203.0.113.41", "8443", "accepted", "banned"),
    ("203.0.113.41", "23", "dropped", "nosy"),
])  # fmt: skip
def test_ipsets_that_come_and_go_are_as_listed_now(
    source: str, port: str, said: str, listed: str, tmp_path: Path
) -> None:
    """Elements with time-outs count as long as they are listed; what a rule adds is found by the next one."""
    for name, text in (("rules", BANNED), ("sets", LISTED)):
        (tmp_path / name).write_text(text)
    packet = ["-p", "tcp", "-s", source, "-d", "192.0.2.70", "--dport", port, "-i", "wan0"]
    files = ["--ruleset", str(tmp_path / "rules"), "--ruleset", str(tmp_path / "sets")]
    with io.StringIO() as out, redirect_stdout(out):
        run(["explain", *packet, *files])
        told = out.getvalue()
    assert told.startswith(said)
    assert f"the set {listed} is taken as listed now" in told


def test_a_synproxy_that_answers_itself_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """K159: nft's answers whatever has a SYN, round lo its own SYN/ACK too, and so on: nothing is opened."""
    chain = {"family": "inet", "table": "fw", "name": "in", "type": "filter", "hook": "input", "prio": 0}
    rule = {"family": "inet", "table": "fw", "chain": "in", "expr": [{"synproxy": {"mss": 1460, "wscale": 7}}]}
    only_tcp = {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}
    rule["expr"].insert(0, only_tcp)  # type: ignore[attr-defined]
    commands = [
        {"add": {"table": {"family": "inet", "name": "fw"}}},
        {"add": {"chain": chain}},
        {"add": {"rule": rule}},
    ]
    path = tmp_path / "commands.json"
    path.write_text(json.dumps({"nftables": commands}))
    ends = ["-p", "tcp", "-s", "192.0.2.1", "--sport", "4000", "-d", "192.0.2.1", "--dport", "80", "-i", "lo"]
    run(["explain", "--ruleset", str(path), *ends])
    said = capsys.readouterr()
    assert said.err == ""
    told = " ".join(said.out.split())
    assert told.startswith("not opened: SYNPROXY answers the SYN in input by")
    assert "answers it, and that answer again, without end (K159)" in told
