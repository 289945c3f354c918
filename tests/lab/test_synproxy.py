"""Connections behind SYNPROXY, opened by programs: what `check` says of a recipe is what becomes of them."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import pytest

from conntrim.cli.main import run
from conntrim.core.diagnose.rulesets.registry import check_ruleset
from conntrim.core.model.finding import Severity
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.parse.ruleset import read
from conntrim.host.netns import entered
from conntrim.lab.dialogue import parse_packet
from conntrim.lab.netns import LabHost, bridged, lab_host

PORT = 7080
SYNS = f"-p tcp -m tcp --dport {PORT} --syn"
PROXY = f"-A INPUT -p tcp -m tcp --dport {PORT} -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY --mss 1460"
INVALID = "-A INPUT -p tcp -m conntrack --ctstate INVALID -j DROP"
RECIPES: dict[str, tuple[str, str, int, bool]] = {
    "as its manual page has it": (SYNS, INVALID, 0, True),
    "the ACK is picked up as NEW": (SYNS, INVALID, 1, False),
    "what follows is untracked as well": (f"-p tcp -m tcp --dport {PORT}", INVALID, 0, False),
    "and with tcp_loose too": (f"-p tcp -m tcp --dport {PORT}", "", 1, False),
    "its answers are untracked": (f"{SYNS} -j CT --notrack\n-A OUTPUT -p tcp -m tcp --sport {PORT}", INVALID, 0, False),
}
"""What raw untracks, a rule behind the proxy, nf_conntrack_tcp_loose, and whether a word gets there and back."""


DROPPED = f"{INVALID}\n-A OUTPUT -p tcp -m tcp --dport {PORT} --syn -j DROP"
EXPLAINED = RECIPES | {
    "a rule of OUTPUT takes its SYN to the server": (SYNS, DROPPED, 0, False),
    "one of INPUT does": (SYNS, f"{INVALID}\n-A INPUT -i lo -p tcp -m tcp --dport {PORT} --syn -j DROP", 0, False),
}
"""The same, and where rules refuse what the proxy sends to the server."""


def host(taken: str, behind: str) -> str:
    """Rules of a server behind its own SYNPROXY."""
    return f"*raw\n-A PREROUTING {taken} -j CT --notrack\nCOMMIT\n*filter\n{PROXY}\n{behind}\nCOMMIT\n"


def talks(client: LabHost, server: LabHost) -> bool:
    """Whether a program of the one gets a word to the other and its answer back within a second."""
    with entered(server.name):
        listening = socket.create_server(("", PORT))
    with listening, suppress(OSError):
        listening.settimeout(1)
        with entered(client.name):
            near = socket.create_connection(("10.99.8.2", PORT), 1)
        with near:
            near.settimeout(1)
            near.sendall(b"word")
            with listening.accept()[0] as far:
                far.settimeout(1)
                far.sendall(far.recv(9))
            return near.recv(9) == b"word"
    return False


@pytest.mark.parametrize("name", RECIPES)
def test_a_connection_comes_about_where_check_says_so(name: str) -> None:
    """K115: SYNPROXY has to see the SYN and the ACK that ends the handshake without an entry, and nothing else."""
    taken, behind, loose, lives = RECIPES[name]
    with bridged(["client=1", "server=2"], "10.99.8") as hosts:
        hosts["server"].run("iptables-restore", text=host(taken, behind))
        hosts["server"].sysctl("net.netfilter.nf_conntrack_tcp_loose", loose)
        assert talks(hosts["client"], hosts["server"]) is lives
    found = check_ruleset(read(host(taken, behind), "rules"), None, loose=bool(loose)).findings
    assert lives is (Severity.CRITICAL not in {f.severity for f in found})


SHOP = f"""table inet shop {{
 chain arriving {{
  type filter hook prerouting priority raw; policy accept;
  tcp dport {{ {PORT}, 7443 }} tcp flags syn notrack
 }}
 chain taken {{
  type filter hook input priority filter; policy drop;
  iif lo accept
  ct state established,related accept
  tcp dport {{ {PORT}, 7443 }} ct state invalid,untracked synproxy mss 1440 wscale 8 timestamp sack-perm
  ct state invalid drop
  tcp dport {{ 22, {PORT}, 7443 }} ct state new accept
 }}
}}
"""
"""A host that drops the rest, in nft's words."""


@pytest.mark.parametrize(("loose", "lives"), [(0, True), (1, False)])
def test_nftables_recipe_on_a_host_that_drops_the_rest(loose: int, lives: bool) -> None:
    """K115: with tcp_loose 0 the connection comes about and check finds nothing worse than a notice; with 1 neither."""
    with bridged(["client=1", "server=2"], "10.99.8") as hosts:
        hosts["server"].run("nft", "-f", "-", text=SHOP)
        hosts["server"].sysctl("net.netfilter.nf_conntrack_tcp_loose", loose)
        assert talks(hosts["client"], hosts["server"]) is lives
        listing = hosts["server"].run("nft", "-j", "list", "ruleset")
    found = check_ruleset(read(listing, "nft"), None, loose=bool(loose)).findings
    grave = {f.severity for f in found} & {Severity.CRITICAL, Severity.WARNING}
    assert (Severity.CRITICAL in grave, bool(grave)) == (not lives, not lives), [f.name for f in found]


@pytest.mark.parametrize("name", EXPLAINED)
def test_explain_follows_it_to_the_server(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The connection is accepted where a program gets its word through: both handshakes are followed."""
    taken, behind, loose, lives = EXPLAINED[name]
    path = tmp_path / "rules"
    path.write_text(host(taken, behind))
    if name not in RECIPES:
        with bridged(["client=1", "server=2"], "10.99.8") as hosts:
            hosts["server"].run("iptables-restore", text=host(taken, behind))
            hosts["server"].sysctl("net.netfilter.nf_conntrack_tcp_loose", loose)
            assert talks(hosts["client"], hosts["server"]) is lives
    packet = f"-p tcp -s 10.99.8.1 -d 10.99.8.2 --dport {PORT} -i eth0 --connection --local 10.99.8.2".split()
    run(["explain", "--tcp-loose", str(loose), "--ruleset", str(path), *packet])
    assert capsys.readouterr().out.startswith("accepted: all 8 packets") is lives


ROUND_LO = """table inet t {{
 chain out {{
  type filter hook output priority 0
  tcp flags & (syn | ack) == (syn | ack) counter
  meta l4proto tcp quota over 40000 bytes drop
 }}
 chain in {{
  type filter hook input priority 0
  {match} synproxy mss 1460 wscale 7
 }}
}}
"""
"""A proxy in front of the host's own services, and a stop to what it sends itself."""


@pytest.mark.parametrize(("match", "endless"), [("meta l4proto tcp", True), (f"tcp dport {PORT}", False)])
def test_k159_a_synproxy_that_comes_to_its_own_syn_ack_answers_it_without_end(match: str, endless: bool) -> None:
    """One SYN round lo: a rule for all TCP answers hundreds of its own SYN/ACKs until the quota ends it, and nothing is
    opened; a rule for the service's port does not meet them."""
    with lab_host("synproxy") as host:
        host.run("ip", "link", "set", "lo", "up")
        host.run("nft", "-f", "-", text=ROUND_LO.format(match=match))
        with entered(host.name):
            near = socket.socket()
        with near:
            near.settimeout(0.5)
            opened = near.connect_ex(("127.0.0.1", PORT)) == 0
        listed = host.run("nft", "list", "chain", "inet", "t", "out")
        answers = int(listed.split("packets ")[1].split()[0])
        ruleset = read(host.run("nft", "-j", "list", "ruleset"), "nft")
    assert (opened, answers > 100) == (not endless, endless)
    syn = parse_packet(f">lo tcp 127.0.0.1 4000 > 127.0.0.1 {PORT} S")
    quota = simulate(ruleset, syn).asked
    assert simulate(ruleset, syn, assume=dict.fromkeys(quota, False)).handshake_lost is endless
