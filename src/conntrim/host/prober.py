"""Asks services from this host, runs the operator's probe commands, and looks what becomes of their session."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator

from conntrim.app.explain import explain
from conntrim.core.model.address import family_of, parse_address
from conntrim.core.model.errors import HostError
from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.printable import one_line
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.plan.own import without_own
from conntrim.core.rollout.probe import Fate, How, Probe, Session, session_of
from conntrim.host import programs
from conntrim.host.addresses import local_addresses
from conntrim.host.listing import KernelListing
from conntrim.host.netns import entered
from conntrim.host.tracking import tracking_kernel

PATIENCE = 3.0
"""Seconds for a service to answer: two repetitions of a lost SYN."""
COMMAND = 30.0
"""Seconds for a probe command: a login to another host and a question from there."""
ANSWER = 4096
"""Bytes of an answer that are read."""
SAID = 120
"""Characters of what a command or service says that are shown."""
STATUS = re.compile(rb"HTTP/\d(?:\.\d)? ([1-5]\d\d)\b")


class HostProber:
    """From the namespace `netns`; None: ours."""

    def __init__(self, netns: str | None) -> None:
        self.netns = netns

    def address(self, probe: Probe) -> str:
        """The address that a network probe will ask. HostError where its name has none."""
        kind = socket.SOCK_DGRAM if probe.how is How.UDP else socket.SOCK_STREAM
        try:
            with entered(self.netns):
                return str(socket.getaddrinfo(probe.host, probe.port, type=kind)[0][4][0]).partition("%")[0]
        except OSError as error:
            raise HostError(f"--probe {probe}", error.strerror or str(error)) from error

    def own(self) -> Intervals:
        """This host's own addresses, loopback included."""
        return local_addresses(self.netns) | Intervals.of(
            (parse_address("127.0.0.0"), parse_address("127.255.255.255")), (parse_address("::1"),) * 2
        )

    def ask(self, probe: Probe, address: str) -> str:
        """Why there is no answer, or a wrong one; "" where all is well."""
        if probe.argv:
            return _run(probe.argv)
        try:
            return self._ask(probe, address)
        except TimeoutError:
            return f"no answer within {PATIENCE:g} s"
        except OSError as error:
            return error.strerror or str(error)

    def _ask(self, probe: Probe, address: str) -> str:
        kind = socket.SOCK_DGRAM if probe.how is How.UDP else socket.SOCK_STREAM
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with entered(self.netns):
            asking = socket.socket(family, kind)
        with asking:
            asking.settimeout(PATIENCE)
            asking.connect((address, probe.port))
            if probe.how is How.UDP:
                asking.send(probe.send)
                answer = asking.recv(ANSWER)
                return "" if probe.expect in answer else f"another answer: {_shown(answer)}"
            return _http(asking, probe) if probe.how is How.HTTP else ""

    def session(self) -> Session | None:
        """The SSH session that conntrim was called from, where it ends on this host: sudo drops the variable, but
        the processes above us have it."""
        own = local_addresses(self.netns)
        found = filter(None, map(session_of, _connections()))
        return next((session for session in found if parse_address(session.server) in own), None)

    def fate(self, session: Session) -> Fate:
        """By the model, for a whole connection like it, against the rules without ours."""
        now = KernelListing().read(self.netns).ruleset
        packet = self._packet(session)
        before, after = (self._verdict(rules, packet) for rules in (without_own(now), now))
        if before == "accept":
            return Fate() if after == "accept" else Fate(f"{session} is no longer let through ({after})")
        return Fate(doubt=f"whether {session} stays is not decided: without the new rules the model says {before}")

    def _verdict(self, ruleset: Ruleset, packet: Packet) -> str:
        return explain(_Given(ruleset), packet, tracking_kernel(self.netns), connection=True).verdict

    def _packet(self, session: Session) -> Packet:
        client, server = parse_address(session.client), parse_address(session.server)
        route = programs.run(["ip", "-o", "route", "get", session.client], netns=self.netns)
        device = re.search(r" dev (\S+)", route)
        name = device[1] if device else "eth0"
        return Packet(
            family_of(client), Protocol.TCP, client, server, session.client_port, session.server_port,
            int(TcpFlag.SYN), iif=name, oif="lo" if name == "lo" else "",
        )  # fmt: skip


class _Given:
    """A rule set that was read already."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset

    def read(self) -> Ruleset:
        """It."""
        return self.ruleset


def _http(asking: socket.socket, probe: Probe) -> str:
    """HTTP/1.0: the status line is the answer."""
    host = f"[{probe.host}]" if ":" in probe.host else probe.host
    asking.sendall(f"GET {probe.path} HTTP/1.0\r\nHost: {host}:{probe.port}\r\nUser-Agent: conntrim\r\n\r\n".encode())
    answer, end = b"", time.monotonic() + PATIENCE
    while b"\n" not in answer and len(answer) < ANSWER and (part := asking.recv(ANSWER)):
        answer += part
        if time.monotonic() > end:
            raise TimeoutError
    status = STATUS.match(answer)
    return "" if status and status[1][:1] in b"23" else f"no status 2xx or 3xx: {_shown(answer)}"


def _run(argv: tuple[str, ...]) -> str:
    """The operator's own command, as they gave it, without a shell; what it says is shown in part where it fails."""
    try:
        done = subprocess.run(  # that is what --probe-command asks for
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND, check=False
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {COMMAND:g} s"
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return f"could not be started: {error}"
    said = _shown(done.stderr.strip() or done.stdout.strip())
    return f"exit code {done.returncode}" + (f": {said}" if said else "") if done.returncode else ""


def _shown(answer: bytes) -> str:
    return one_line(answer[:ANSWER].decode("utf-8", "surrogateescape"), SAID)


def _connections() -> Iterator[str]:
    """$SSH_CONNECTION of this process and of those above it, as far as they may be read."""
    yield os.environ.get("SSH_CONNECTION", "")
    process = os.getppid()
    while process > 1:
        try:
            with open(f"/proc/{process}/environ", "rb") as file:
                words = file.read(1 << 20).split(b"\0")
            with open(f"/proc/{process}/stat", "rb") as file:
                process = int(file.read(4096).rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return
        for word in words:
            if word.startswith(b"SSH_CONNECTION="):
                yield word.partition(b"=")[2].decode("ascii", "replace")
