"""What counts as a proof for `apply --yes`: connections of the planned services through their rules, nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost, bridged
from tests.lab.planning import WEB, WEB_POLICY, serve
from tests.lab.test_rollout import entries
from tests.lab.test_rollout_plans import SwiftOperator, listing, load_firewall

KINDS = ("iptables", "nft")
DNS = "192.168.0.17"
DNS_POLICY = f"""[[untrack]]
direction = "outbound"
protocol = "udp"
ports = [53]
to = ["{DNS}"]
"""


HTTP_POLICY = DNS_POLICY.replace("udp", "tcp").replace("[53]", "[80]")
SESSION = "192.168.0.20 50000 192.168.0.18 22"
WAVERING = {
    "iptables": "iptables -I INPUT -p tcp --dport 22 -m statistic --mode random --probability 0.5 -j DROP",
    "nft": "nft insert rule inet filter input tcp dport 22 numgen random mod 2 0 drop",
}
"""Drops a packet of the session now and then: nobody can say which."""


@contextmanager
def answering(host: LabHost) -> Iterator[None]:
    """A service at udp/53 that says what it was asked."""
    with entered(host.name):
        service = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        service.bind(("0.0.0.0", 53))

    def serve_all() -> None:
        while True:
            data, peer = service.recvfrom(4096)
            if data == b"end":
                return
            service.sendto(b"heard " + data, peer)

    thread = threading.Thread(target=serve_all)
    thread.start()
    yield
    with entered(host.name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
        ending.sendto(b"end", ("127.0.0.1", 53))
    thread.join()
    service.close()


@pytest.mark.parametrize("kind", KINDS)
def test_udp_is_asked_over_udp(tmp_path: Path, kind: str) -> None:
    """Payload and answer; TCP is refused as a proof, another answer takes the trial back, the right one is kept."""
    (tmp_path / "dns.toml").write_text(DNS_POLICY)
    made = str(tmp_path / "plan")
    with bridged(["web=18", "dns=17"]) as hosts, answering(hosts["dns"]):
        web = hosts["web"]
        load_firewall(web, kind)
        before = listing(web)
        operator = SwiftOperator(web, tmp_path)
        planned = operator.does("plan", "--policy", str(tmp_path / "dns.toml"), "-o", made)
        assert planned.returncode == 0, planned.stdout
        over_tcp = operator.does("apply", made, "--probe", f"{DNS}:53", "--yes")
        assert "is no connection of a service" in " ".join(over_tcp.stdout.split())
        wrong = operator.does("apply", made, "--probe", f"udp://{DNS}:53?send=hello&expect=other", "--yes")
        assert "another answer: heard hello" in " ".join(wrong.stdout.split())
        assert (over_tcp.returncode, wrong.returncode, listing(web)) == (1, 1, before)
        right = operator.does("apply", made, "--probe", f"udp://{DNS}:53?send=hello&expect=heard", "--yes")
        assert (right.returncode, right.stderr) == (0, ""), right.stdout
        assert "by those of outbound udp/53" in " ".join(right.stdout.split())
        assert entries(web) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_probe_over_lo_proves_nothing_and_a_command_from_outside_does(tmp_path: Path, kind: str) -> None:
    """The host's own address is refused before anything is loaded; a client's connection is what the rules see."""
    (tmp_path / "web.toml").write_bytes(WEB_POLICY)
    made = str(tmp_path / "plan")
    with bridged(["client=20", "web=18"]) as hosts:
        web, client = hosts["web"], hosts["client"]
        load_firewall(web, kind)
        serve(web, 80)
        before = listing(web)
        operator = SwiftOperator(web, tmp_path)
        planned = operator.does("plan", "--policy", str(tmp_path / "web.toml"), "-o", made)
        assert planned.returncode == 0, planned.stdout
        for own in (f"{WEB}:80", "127.0.0.1:80"):
            refused = operator.does("apply", made, "--probe", own, "--yes")
            assert "over lo" in " ".join(refused.stdout.split())
            assert (refused.returncode, listing(web)) == (1, before)
        idle = operator.does("apply", made, "--probe-command", "true", "--yes")
        assert "no packet of the command true was counted" in " ".join(idle.stdout.split())
        over_lo = operator.does(
            "apply", made, "--probe-command", f"ip netns exec {web.name} bash -c 'exec 3<>/dev/tcp/{WEB}/80'", "--yes"
        )
        assert "was counted by the rules that untrack a service" in " ".join(over_lo.stdout.split())
        assert (idle.returncode, over_lo.returncode, listing(web)) == (1, 1, before)
        failing = operator.does("apply", made, "--probe-command", "sh -c 'printf \"\\033[2J\" >&2; exit 3'", "--yes")
        assert "exit code 3: \\x1b[2J" in " ".join(failing.stdout.split())
        asked = f"ip netns exec {client.name} bash -c 'exec 3<>/dev/tcp/{WEB}/80'"
        done = operator.does("apply", made, "--probe-command", asked, "--yes")
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert "by those of inbound tcp/80" in " ".join(done.stdout.split())


@pytest.mark.parametrize("kind", KINDS)
def test_http_is_asked_through_an_outbound_service(tmp_path: Path, kind: str) -> None:
    """A page that is not there takes the trial back, one that is there is kept; its packets met the service's rules."""
    (tmp_path / "http.toml").write_text(HTTP_POLICY)
    (tmp_path / "pages").mkdir()
    made = str(tmp_path / "plan")
    with bridged(["web=18", "pages=17"]) as hosts:
        web, pages = hosts["web"], hosts["pages"]
        pages.start("python3", "-m", "http.server", "80", "-d", str(tmp_path / "pages"))
        while ":80" not in pages.run("ss", "-Htnl"):
            pass
        load_firewall(web, kind)
        before = listing(web)
        operator = SwiftOperator(web, tmp_path)
        planned = operator.does("plan", "--policy", str(tmp_path / "http.toml"), "-o", made)
        assert planned.returncode == 0, planned.stdout
        missing = operator.does("apply", made, "--probe", f"http://{DNS}:80/none", "--yes")
        assert "no status 2xx or 3xx: HTTP/1.0 404" in " ".join(missing.stdout.split())
        assert (missing.returncode, listing(web)) == (1, before)
        there = operator.does("apply", made, "--probe", f"http://{DNS}:80/", "--yes")
        assert (there.returncode, there.stderr) == (0, ""), there.stdout
        assert "by those of outbound tcp/80" in " ".join(there.stdout.split())
        assert entries(web) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_that_sudo_hid_and_that_is_not_decided_refuses_yes(tmp_path: Path, kind: str) -> None:
    """Only a process above ours has SSH_CONNECTION; whether the session stays nobody can say: taken back at once."""
    (tmp_path / "web.toml").write_bytes(WEB_POLICY)
    made, program = str(tmp_path / "plan"), [sys.executable, "-m", "conntrim"]
    with bridged(["client=20", "web=18"]) as hosts:
        web = hosts["web"]
        load_firewall(web, kind)
        web.run(*WAVERING[kind].split())
        serve(web, 80)
        before = listing(web)
        operator = SwiftOperator(web, tmp_path)
        planned = operator.does("plan", "--policy", str(tmp_path / "web.toml"), "-o", made)
        assert planned.returncode == 0, planned.stdout
        asked = f"ip netns exec {hosts['client'].name} bash -c 'exec 3<>/dev/tcp/{WEB}/80'"
        words = operator.arguments("apply", made, "--probe-command", asked)
        for extra, code in (["--yes"], 1), ([], 0):
            hidden = ["bash", "-c", 'env -u SSH_CONNECTION "$@"; exit $?', "sudo", *program, *words, *extra]
            done = subprocess.run(
                hidden, capture_output=True, text=True, timeout=120, check=False,
                env=os.environ | {"SSH_CONNECTION": SESSION},
            )  # fmt: skip
            told = " ".join(done.stdout.split())
            assert "whether the SSH session from 192.168.0.20 port 50000 stays is not decided" in told, done.stderr
            assert (done.returncode, listing(web) == before) == (code, bool(code))
