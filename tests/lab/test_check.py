"""`check` on a live kernel: what it reads there, that the kernel takes its advice, and what it says of fragments."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
from contextlib import closing
from typing import Any

import pytest

from conntrim.core.change.apply import apply
from conntrim.core.change.edits import change_of
from conntrim.core.diagnose.rulesets.registry import check_ruleset
from conntrim.core.model.conntrack import TcpState
from conntrim.core.model.normal import normal
from conntrim.core.parse.ruleset import read
from conntrim.host.netns import entered
from conntrim.lab.fill import Entry, fill
from conntrim.lab.netns import LabHost, bridged
from conntrim.render.edits import commands
from tests.unit.core.diagnose.test_rulesets import CASES as XT_CASES
from tests.unit.core.diagnose.test_rulesets_nft import CASES as NFT_CASES
from tests.unit.core.diagnose.test_rulesets_nft import listing
from tests.unit.core.diagnose.written import edited, text

WEB, CACHE = "192.168.0.18", "192.168.0.17"
FILTER = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -m state --state ESTABLISHED,RELATED,UNTRACKED -j ACCEPT
COMMIT
"""
USELESS = f"""*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 11211 -j NOTRACK
-A OUTPUT -p tcp -m tcp --sport 11211 -j NOTRACK
COMMIT
{FILTER}"""


def check(host: LabHost) -> tuple[int, Any]:
    """The exit code and the JSON of `conntrim check` on a namespace."""
    argv = [sys.executable, "-m", "conntrim", "check", "--netns", host.name, "--json"]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
    return done.returncode, json.loads(done.stdout)


def web_host(host: LabHost) -> None:
    """The document's web server with its useless rules, and its connections to the cache in the table."""
    host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far")
    host.run("ip", "address", "add", f"{WEB}/24", "dev", "eth0")
    host.run("iptables-restore", text=USELESS)
    fill(host.name, (Entry(6, WEB, CACHE, 35_000 + i, 11211, TcpState.TIME_WAIT, 120) for i in range(101)))


def test_a_live_host_needs_no_arguments(host: LabHost) -> None:
    """Rules, addresses and table come from the kernel: the rules stand the wrong way round for 101 entries."""
    web_host(host)
    code, report = check(host)
    turned = [finding for finding in report["findings"] if finding["code"] == "CT108"]
    assert (1, 2) == (code, len(turned))
    assert "0 of 101 entries meet it; 101 would" in turned[0]["evidence"][1]
    assert f"their far ends: {CACHE}" == turned[0]["evidence"][2]


def test_the_kernel_takes_the_advice(host: LabHost) -> None:
    """The edits as iptables-restore reads them: the rules are turned round, and nothing is left to find. Either rule
    turned round alone is of no use, so each of the two findings brings both.
    """
    web_host(host)
    _, report = check(host)
    edits = [[(edit["how"], edit["text"]) for edit in f["edits"]] for f in report["findings"] if f["code"] == "CT108"]
    assert len(edits) == 2
    assert sorted(edits[0]) == sorted(edits[1])
    assert [how for how, _ in edits[0]] == ["replace", "replace"]
    lines = ["*raw", "-F", *(text for _, text in edits[0]), "COMMIT", ""]
    host.run("iptables-restore", "--noflush", text="\n".join(lines))
    code, report = check(host)
    assert (0, []) == (code, report["findings"])


CURED = [name for name, (_, found) in NFT_CASES.items() if found and name not in ("wrong hook", "answers refused")]
"""Not the rule at a hook where nothing is untracked: moved it would untrack one direction only; nor answers that the
filter refuses without an entry too: untracking them both ways cures nothing. So no edit is shown."""


def fill_in(command: str) -> str:
    """An address where the operator has to name one: that which stands for it in the operations."""
    return command.replace("SERVER", "192.0.2.254").replace("CLIENT", "192.0.2.253")


def test_nft_takes_the_advice(host: LabHost) -> None:
    """Each nft rule set with a mistake, loaded; the advised commands given to nft one by one; each finding is gone, and
    the kernel lists what the operations make of the rules."""
    left: dict[str, set[str]] = {}
    for name in CURED:
        host.run("nft", "flush", "ruleset")
        host.run("nft", "-j", "-f", "-", text=listing(NFT_CASES[name][0]))
        before = read(host.run("nft", "-j", "list", "ruleset"), "rules")
        listed = [check_ruleset(before, None)]
        edits = dict.fromkeys(edit for finding in listed[0].findings for edit in finding.edits)
        for command in dict.fromkeys(c for edit in edits for c in commands(edit)):
            host.run("nft", fill_in(command))
        after = read(host.run("nft", "-j", "list", "ruleset"), "rules")
        assert normal(after) == normal(apply(change_of(edits), before)), name
        listed.append(check_ruleset(after, None))
        assert bool(edits)
        left[name] = {f.code for f in listed[0].findings} & {f.code for f in listed[1].findings}
    assert {name: set() for name in CURED} == left


def reached(client: LabHost, server: LabHost, address: str) -> int:
    """What comes of a TCP connection to port 80 of a host that listens: 0, or the error; EAGAIN if nothing does."""
    with entered(server.name):
        listening = socket.create_server(("0.0.0.0", 80))
    with entered(client.name):
        calling = socket.socket()
    with closing(listening), closing(calling):
        calling.settimeout(0.8)
        return calling.connect_ex((address, 80))


def before_and_after(rules: str, client: LabHost, server: LabHost, address: str) -> list[int]:
    """The same with a rule set as it is, and as check's edits make it."""
    found = []
    for each in (rules, edited(rules, check_ruleset(read(rules, "rules"), None).findings)):
        server.run("iptables-restore", text=each)
        found.append(reached(client, server, address))
    return found


def test_loopback_that_output_untracks_is_cut(host: LabHost) -> None:
    """CT116: nobody on the host reaches its port 80 by 127.0.0.1; with lo left tracked they do."""
    raw, accepts, _ = XT_CASES["cut on lo"]
    assert [errno.EAGAIN, 0] == before_and_after(text(raw, accepts), host, host, "127.0.0.1")


def test_a_refusal_of_an_untracked_packet_is_silenced() -> None:
    """CT115, K19: REJECT's reset does not leave, the client waits; with the accept it is refused."""
    raw, accepts, _ = XT_CASES["resets that do not leave"]
    rules = text(raw, accepts).replace("203.0.113.0/24", "192.168.0.0/24")
    with bridged(["client=1", "server=2"]) as hosts:
        found = before_and_after(rules, hosts["client"], hosts["server"], "192.168.0.2")
    assert [errno.EAGAIN, errno.ECONNREFUSED] == found


@pytest.mark.parametrize(("priority", "first"), [(-300, 4000), (-450, 1)])
def test_a_fragmented_datagram_is_lost_before_reassembly(priority: int, first: int) -> None:
    """K48: NOTRACK by port at -450 takes the first fragment alone, and the datagram never arrives; at -300 it does."""
    rules = f"""table ip t {{
    chain early {{ type filter hook prerouting priority {priority}; udp dport 5000 notrack; }}
    chain late {{ type filter hook input priority 0; ct state invalid counter; }}
}}"""
    with bridged(["sender=1", "receiver=2"]) as hosts:
        hosts["receiver"].run("nft", "-f", "-", text=rules)
        with entered(hosts["receiver"].name):
            listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with entered(hosts["sender"].name):
            sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with closing(listening), closing(sending):
            listening.bind(("192.168.0.2", 5000))
            listening.settimeout(20)
            sending.sendto(b"x" * 4000, ("192.168.0.2", 5000))
            sending.sendto(b"y", ("192.168.0.2", 5000))
            assert first == len(listening.recv(5000))
