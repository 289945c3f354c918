"""The report of a known workload on a real kernel is that workload, exactly."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conntrim.host.facts import KernelFacts
from conntrim.host.netns import entered
from conntrim.lab.limits import global_limits
from conntrim.lab.netns import LabHost, bridged
from tests.lab.test_facts import USER, send_from, until

ROOT = Path(__file__).parents[2]


@dataclass
class Ended:
    """A run of the command."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """Its JSON."""
        value: dict[str, Any] = json.loads(self.out)
        return value


def diagnose(*arguments: str) -> Ended:
    """Run `conntrim diagnose` as an operator does."""
    command = [sys.executable, "-m", "conntrim", "diagnose", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


def connect_and_close(host: LabHost, port: int, times: int) -> None:
    """So many TCP connections over loopback, each closed by its client at once."""
    with entered(host.name):
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        for _ in range(times):
            with socket.create_connection(("127.0.0.1", port)) as client:
                accepted, _ = listener.accept()
                client.shutdown(socket.SHUT_WR)
                assert accepted.recv(1) == b""
                accepted.close()
                assert client.recv(1) == b""
        listener.close()


def serve_and_ask(server: LabHost, client: LabHost, address: str, port: int, times: int) -> None:
    """So many connections from one host to another, with a question and an answer on each."""
    with entered(server.name):
        listener = socket.create_server((address, port), backlog=128)
    for _ in range(times):
        with entered(client.name):
            asking = socket.create_connection((address, port), timeout=5)
        accepted, _ = listener.accept()
        with asking, accepted:
            asking.sendall(b"?")
            assert accepted.recv(1) == b"?"
            accepted.sendall(b"!")
            assert asking.recv(1) == b"!"
    listener.close()


def test_a_full_table_is_critical_with_exact_numbers(host: LabHost) -> None:
    """61 entries fit, 108 flows came: the kernel's drops, exit code 2, the service and the reason named, the log read.

    How many of the 47 too many are dropped is the kernel's affair: some evict an older entry instead (K30).
    """
    host.run(*USER)
    with global_limits(nf_conntrack_max=61):
        send_from(host, 20_000, 108)
        facts = KernelFacts().read(host.name)
        ended = diagnose("--netns", host.name, "--interval", "0", "--json")
        text = diagnose("--netns", host.name, "--interval", "0")
    report = ended.report
    entries, drops = facts.count or 0, facts.counters.get("drop")
    full = f"table full: {entries} of 61 entries, {drops} packets dropped"
    assert (ended.code, ended.err) == (2, "")
    assert report["summary"] == full
    assert {k: report["figures"][k] for k in ("entries", "max", "headroom", "drop", "chaintoolong")} == {
        "entries": entries, "max": 61, "headroom": 61 - entries, "drop": drops, "chaintoolong": 0,
    }  # fmt: skip
    assert [(f["service"], f["entries"], f["state"]) for f in report["fillers"]] == [
        ("loopback udp/9", entries, "udp unreplied")
    ]
    assert {"CT001", "CT002", "CT003"} <= {finding["code"] for finding in report["findings"]}
    assert [cause["code"] for cause in report["causes"]] == ["CT012"]
    assert report["figures"]["log_lines"] >= 1
    assert text.out.splitlines()[0] == f"CRITICAL - {full}"
    assert max(map(len, text.out.splitlines())) < 80


def test_drops_between_the_readings_are_a_rate(host: LabHost) -> None:
    """The table is full before the first reading and nothing comes during the interval: 11 without room, 0 a second."""
    host.run(*USER)
    with global_limits(nf_conntrack_max=7):
        send_from(host, 20_000, 18)
        report = diagnose("--netns", host.name, "--interval", "0.2", "--json").report
    figures = report["figures"]
    assert (figures["drop"] + figures["early_drop"], figures["drop_per_second"]) == (11, 0.0)  # K30
    assert figures["span"] >= 0.2


def test_time_wait_is_named_and_its_remedy_predicted(host: LabHost) -> None:
    """53 closed connections are 53 entries in TIME_WAIT; untracking the service leaves none of them.

    The table has room, so that is no cause of anything.
    """
    host.run(*USER)
    connect_and_close(host, 8080, 53)
    with global_limits(nf_conntrack_max=100_000):  # a neighbour may have made it small for a while
        ended = diagnose("--netns", host.name, "--interval", "0", "--json")
    report = ended.report
    assert (ended.code, report["figures"]["entries"]) == (report["verdict"], 53)
    assert [(f["service"], f["state"], f["state_share"]) for f in report["fillers"]] == [
        ("loopback tcp/8080", "tcp time_wait", 1.0)
    ]
    assert report["causes"] == []
    remedies = {remedy["title"]: remedy["entries_after"] for remedy in report["remedies"]}
    assert remedies["untrack loopback tcp/8080"] == 0
    assert remedies["tcp_timeout_established 432,000 -> 7,440 s"] == 53


def test_a_shorter_time_out_does_what_was_predicted(host: LabHost) -> None:
    """With TIME_WAIT at 1 s from the start (K31) the same 53 connections are gone after two seconds.

    The kernel goes on counting them until it comes across them, which the report says.
    """
    host.run(*USER)
    host.sysctl("net.netfilter.nf_conntrack_tcp_timeout_time_wait", 1)
    connect_and_close(host, 8080, 53)
    assert until(lambda: diagnose("--netns", host.name, "--interval", "0", "--json").report["fillers"] == [])
    report = diagnose("--netns", host.name, "--interval", "0", "--json").report
    counted = report["figures"]["entries"]
    assert any(remark.startswith(f"{counted} entries counted but not listed") for remark in report["remarks"]) == (
        counted >= 10
    )


ONE_SIDED = """
table ip r {
  chain pre { type filter hook prerouting priority raw; tcp dport 80 notrack
  }
}
"""
"""Only the requests are untracked, the answers are not (K14)."""


def test_one_sided_notrack_is_recognised() -> None:
    """K14: with requests untracked and answers not, 23 connections leave 23 entries, seen from the server's side.

    The report says that this is one-sided NOTRACK, whatever room the table has.
    """
    with bridged(["web=18", "client=2"]) as hosts:
        hosts["web"].run(*USER)
        hosts["web"].run("nft", "-f", "-", text=ONE_SIDED)
        serve_and_ask(hosts["web"], hosts["client"], "192.168.0.18", 80, 23)
        report = diagnose("--netns", hosts["web"].name, "--interval", "0", "--json").report
    assert [(f["service"], f["entries"]) for f in report["fillers"]] == [("inbound tcp/80", 23)]
    found = report["causes"][0]
    assert (found["code"], found["severity"], found["entries"], found["share"]) == ("CT014", 1, 23, 1.0)
    assert found["evidence_for"][1].startswith("CT103 nft ip r pre handle ")


def test_a_saved_table_of_the_old_era(tmp_path: Path) -> None:
    """A table and a log of the 2.6 era: the log makes it critical, the advice has the old names."""
    table = tmp_path / "ip_conntrack"
    table.write_text(
        "".join(
            f"tcp      6 {n} TIME_WAIT src=10.0.0.1 dst=10.0.0.2 sport={40000 + n} dport=80 packets=5 bytes=400 "
            f"src=10.0.0.2 dst=10.0.0.1 sport=80 dport={40000 + n} packets=4 bytes=900 [ASSURED] use=1\n"
            for n in range(1, 102)
        )
    )
    log = tmp_path / "messages"
    log.write_text("Apr 14 22:31:12 cache kernel: ip_conntrack: table full, dropping packet.\n")
    ended = diagnose(str(table), "--log", str(log), "--max", "101", "--local", "10.0.0.2")
    assert ended.code == 2
    assert ended.out.splitlines()[0] == "CRITICAL - table full: 101 of 101 entries"
    for wanted in (
        "first Apr 14 22:31:12",
        "sysctl -w net.ipv4.ip_conntrack_max=65536",
        "options ip_conntrack hashsize=65536",
        "sysctl -w net.ipv4.netfilter.ip_conntrack_tcp_timeout_time_wait=30",
    ):
        assert wanted in ended.out


def test_nothing_to_be_said_is_unknown(tmp_path: Path) -> None:
    """Bad input is one line and exit code 3, as Nagios wants it."""
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("this is no table\n")
    runs = [
        diagnose("--netns", "conntrim-no-such"),
        diagnose(str(tmp_path / "missing")),
        diagnose(str(nonsense)),
        diagnose("--log", str(tmp_path / "missing")),
        diagnose("-w", "95"),
        diagnose("--max", "7"),
        diagnose("-", "--log", "-"),
    ]
    assert [(ended.code, ended.out, ended.err.count("\n")) for ended in runs] == [(3, "", 1)] * len(runs)
    assert not any("Traceback" in ended.err for ended in runs)
