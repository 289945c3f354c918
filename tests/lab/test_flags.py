"""What TCP notes of its entries, and behind which device clients are, as `diagnose` tells it of a running kernel."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from conntrim.core.census.cells import liberal, seen_midway, unacknowledged
from conntrim.core.model.conntrack import Status, TcpState
from conntrim.core.model.flows import ALL_COLUMNS, FlowTable, joined
from conntrim.host.flows import KernelFlows
from conntrim.host.routes import interfaces
from conntrim.lab.cause_run import live
from conntrim.lab.cause_scenarios import SCENARIOS, SERVER, connecting, listening
from conntrim.lab.cause_site import CHALLENGED, Flow, Site, cause_site, inside, outside, text
from tests.lab.test_facts import until

PORT, CONNECTIONS = 8_443, 14


@pytest.fixture
def site() -> Iterator[Site]:
    """A gateway between two networks, whose outer side answers."""
    with cause_site() as made:
        made.rules(nat=False)
        made.alive(on=True)
        yield made


def table(site: Site) -> FlowTable:
    """The gateway's entries of connections to the port."""
    flows = joined(list(KernelFlows(site.gateway.name).blocks(ALL_COLUMNS)))
    return flows.rows(flows.dport == PORT)


def connected(site: Site, stack: ExitStack) -> list[socket.socket]:
    """Connections of the gateway to a server outside, accepted there."""
    listener = stack.enter_context(listening(site.outside.name, PORT, 64))
    made = []
    for _ in range(CONNECTIONS):
        made.append(stack.enter_context(connecting(site.gateway.name, "", PORT, text(SERVER), wait=True)))
        stack.enter_context(listener.accept()[0])
    return made


def test_data_without_an_acknowledgement_is_noted(site: Site) -> None:
    """K155: the flag stands in the dump while the other end is silent; the entry runs on 300 s from its last packet.
    diagnose counts them; with the acknowledgement it is gone.
    """
    with ExitStack() as stack:
        clients = connected(site, stack)
        assert not unacknowledged(table(site)).any()
        site.outside.run(
            "nft", "-f", "-", text="table ip x { chain in { type filter hook input priority 0; policy drop; }; }"
        )
        for client in clients:
            client.send(b"?")
        flows = table(site)
        assert (flows.state == TcpState.ESTABLISHED).all()
        assert unacknowledged(flows).sum() == CONNECTIONS
        assert flows.timeout.max() <= 300
        report = live(site, SCENARIOS[0])
        assert (report.figures.unacknowledged, report.figures.be_liberal) == (CONNECTIONS, 0)
        site.outside.run("nft", "delete", "table", "ip", "x")
        assert until(lambda: not unacknowledged(table(site)).any())


def test_what_was_picked_up_is_noted(site: Site) -> None:
    """K156: an entry that begins in the middle is be-liberal both ways, without window scales, whoever spoke first.
    diagnose counts them; where the server's side spoke first they are a cause, and the kernel's note is its evidence.
    """
    with ExitStack() as stack:
        clients = connected(site, stack)
        assert not liberal(table(site)).any()
        site.gateway.run("conntrack", "-F")
        for client in clients:
            client.send(b"?")
        assert until(lambda: len(table(site)) == CONNECTIONS)
        assert np.array_equal(liberal(table(site)), seen_midway(table(site)))
        report = live(site, SCENARIOS[0])
        assert report.figures.be_liberal == CONNECTIONS
        assert "CT036" not in {cause.code for cause in report.causes}
    (flushed,) = (scenario for scenario in SCENARIOS if scenario.code == "CT036")
    site.rules(nat=False)
    with ExitStack() as stack:
        flushed.make(site, CONNECTIONS, stack)
        first = live(site, flushed).causes[0]
        assert (first.code, first.entries) == ("CT036", CONNECTIONS)
        assert f"the kernel noted it of {CONNECTIONS} (be-liberal)" in first.evidence_for


def test_an_acknowledgement_answers_a_syn(site: Site) -> None:
    """K157: a bare ACK is an answer, and leaves the entry in SYN_SENT."""
    site.alive(on=False)
    flow = Flow(inside(1), outside(77), 20_000, PORT)
    site.tcp([flow], CHALLENGED)
    assert until(lambda: len(table(site)) == 1)
    assert until(lambda: bool(table(site).status[0] & Status.SEEN_REPLY))
    assert table(site).state[0] == TcpState.SYN_SENT


def test_forwarded_traffic_is_named_by_client_and_interface(site: Site) -> None:
    """The one client that fills the table, and the device behind which it is; an address without a route has none."""
    site.rules(nat=True)
    site.alive(on=False)
    (greedy,) = (scenario for scenario in SCENARIOS if scenario.code == "CT050")
    with ExitStack() as stack:
        greedy.make(site, 200, stack)
        assert until(lambda: (KernelFlows(site.gateway.name).population() or 0) >= 190)
        first = live(site, greedy).causes[0]
    assert (first.code, len(first.who)) == ("CT050", 1)
    assert first.interfaces == {first.who[0]: "eth1"}
    asked = interfaces(site.gateway.name, [text(SERVER), "127.0.0.1", "2001:db8::1", "nginx"])
    assert asked == {text(SERVER): "eth0", "127.0.0.1": "lo"}
