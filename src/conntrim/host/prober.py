"""Connects from this host, and looks whether the operator's own session still gets through."""

from __future__ import annotations

import os
import re
import socket

from conntrim.app.explain import explain
from conntrim.core.model.address import family_of, parse_address
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Ruleset, TcpFlag
from conntrim.core.plan.own import without_own
from conntrim.core.rollout.probe import Session, session_of
from conntrim.host import programs
from conntrim.host.addresses import local_addresses
from conntrim.host.listing import KernelListing
from conntrim.host.netns import entered
from conntrim.host.tracking import tracking_kernel

PATIENCE = 3.0
"""Seconds for a service to answer: two repetitions of a lost SYN."""


class HostProber:
    """From the namespace `netns`; None: ours."""

    def __init__(self, netns: str | None) -> None:
        self.netns = netns

    def connect(self, host: str, port: int) -> str:
        """Why a TCP connection does not come about, "" where it does."""
        try:
            with entered(self.netns), socket.create_connection((host, port), timeout=PATIENCE):
                return ""
        except TimeoutError:
            return f"no answer within {PATIENCE:g} s"
        except OSError as error:
            return error.strerror or str(error)

    def session(self) -> Session | None:
        """The SSH session that conntrim was called from, where it ends on this host."""
        found = session_of(os.environ.get("SSH_CONNECTION", ""))
        return found if found and parse_address(found.server) in local_addresses(self.netns) else None

    def lost(self, session: Session) -> str:
        """By the model, for a whole connection like it, where the rules without ours would let that through."""
        now = KernelListing().read(self.netns).ruleset
        packet = self._packet(session)
        before, after = (self._verdict(rules, packet) for rules in (without_own(now), now))
        return f"{session} is no longer let through ({after})" if before == "accept" != after else ""

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
