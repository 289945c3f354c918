"""Nodes as people have them: a plan for a service of theirs is proved, and comes and goes without a failed request."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import pytest

from conntrim import wiring
from conntrim.app.plan import make_plan
from conntrim.app.rollout import apply, confirm, rollback
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.parse.policy import parse_policy
from conntrim.core.rollout.report import Report
from conntrim.core.rollout.states import State
from conntrim.host.netns import entered
from conntrim.lab.layouts.host import load
from conntrim.lab.layouts.layout import HOST4, HOST6, Layout
from conntrim.lab.layouts.registry import drawn
from conntrim.lab.netns import LabHost, bridged
from tests.lab.planning import serve
from tests.lab.test_rollout import until

NODES = ("tailscale", "docker", "csf", "vyos", "firewalld")
SEED = 31
PATIENCE = 10.0
"""Seconds until a request counts as failed: the machine may be busy, and TCP sends again."""
PAUSE = 0.02
"""Seconds between two requests: who asks as fast as it can keeps the verbs from their work."""
BETWEEN = 20
"""Requests answered between two verbs, at least."""


@dataclass(slots=True)
class Client:
    """Asks again and again, each time over a new connection."""

    host: LabHost
    port: int
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    done: Event = field(default_factory=Event)

    def run(self) -> None:
        """Until it is told to stop."""
        with entered(self.host.name):
            while not self.done.wait(PAUSE):
                try:
                    with socket.create_connection((HOST4, self.port), PATIENCE) as asking:
                        asking.sendall(b"echo")
                        assert asking.recv(100) == b"echo"
                    self.answered += 1
                except (OSError, AssertionError) as error:
                    self.failed.append(repr(error))


@contextmanager
def node(layout: Layout, port: int) -> Iterator[tuple[LabHost, Client]]:
    """A host with the layout's rules and interfaces that serves the port, and a client that asks it all the while."""
    with bridged([f"node={HOST4.rpartition('.')[2]}", "client=66"], HOST4.rpartition(".")[0]) as hosts:
        host = hosts["node"]
        for name, address in (("eth0", f"{HOST6}/64"), *layout.devices):
            if name != "eth0":
                host.run("ip", "tuntap", "add", "dev", name, "mode", "tun")
                host.run("ip", "link", "set", name, "up")
            host.run("ip", "address", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
        load(host, layout)
        serve(host, port)
        client = Client(hosts["client"], port)
        asking = Thread(target=client.run)
        asking.start()
        try:
            yield host, client
        finally:
            client.done.set()
            asking.join()


@pytest.mark.parametrize("name", NODES)
def test_a_plan_comes_and_goes_without_a_failed_request(tmp_path: Path, name: str) -> None:
    """Proved, on trial, kept and rolled back, with requests answered before, between and after: none fails."""
    layout = drawn(name, SEED)
    port = next(port for protocol, port in layout.inbound if protocol == "tcp")
    policy = parse_policy(
        f'[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [{port}]\n'.encode(), "policy"
    )
    with node(layout, port) as (host, client):

        def some() -> None:
            enough = client.answered + BETWEEN
            assert until(lambda: client.answered >= enough or bool(client.failed))

        some()
        plan = make_plan(wiring.live(host.name).inputs(policy)).plan
        assert {} == {o.name: o.why for o in plan.obligations if o.standing is not ObligationStatus.PROVED}
        ports = wiring.rollout(host.name, str(tmp_path))
        steps: list[tuple[Callable[[], Report], State]] = [
            (lambda: apply(ports, plan, 60), State.TRIAL),
            (lambda: confirm(ports), State.CONFIRMED),
            (lambda: rollback(ports), State.NOTHING),
        ]
        for verb, state in steps:
            report = verb()
            assert (state, "") == (report.state, report.why)
            some()
    assert [] == client.failed
