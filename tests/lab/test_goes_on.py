"""Connections of every kind through a replacement, rollbacks and an expiry that somebody waits for: none is cut.

CONNTRIM_CONNECTIONS=200 makes that many of each kind; `make connections` does.
"""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conntrim.app.rollout import apply, confirm, rollback, wait
from conntrim.core.rollout.states import State
from tests.lab.connections import CLIENT, SERVER, Connection
from tests.lab.falling import listed
from tests.lab.planning import WEB_POLICY
from tests.lab.test_falls_back import Site, site
from tests.lab.test_replacing import cut, planned

EACH = int(os.environ.get("CONNTRIM_CONNECTIONS", "8"))
"""Connections of each kind: a quarter each inbound and outbound, and of these either end speaks next."""
SHAPES = ["usual", "usual, nft", "no new ones but by SYN", "no new ones but by SYN, nft"]
INBOUND = WEB_POLICY.decode().partition('\n[[untrack]]\ndirection = "outbound"')[0]
"""The policy without the service that the host asks."""
BOTH = WEB_POLICY.decode()


@contextmanager
def host(shape: str, place: Path) -> Iterator[Site]:
    """The host with its services over TCP; of datagrams the plan lists what is lost."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with site(shape, place) as made:
            made.servers = {name: server for name, server in made.servers.items() if "tcp" in name}
            yield made
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def some(made: Site, kind: str) -> list[Connection]:
    """One kind of connections: of each service, and for each end that may speak next."""
    return [one for n in range(max(1, EACH // 4)) for one in made.opened(f"{kind} {n}", (CLIENT, SERVER))]


@contextmanager
def talking(busy: list[Connection]) -> Iterator[list[str]]:
    """All of them talk, one after the other and again, as long as the context lasts; what did not arrive."""
    stop, lost = threading.Event(), list[str]()

    def talk() -> None:
        rounds = 0
        while not (stop.is_set() and rounds) and not lost:
            try:
                for one in busy:
                    one.talks()
            except (AssertionError, OSError) as error:
                lost.append(str(error))
            rounds += 1

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield lost
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("shape", SHAPES)
def test_replacement_and_rollback_cut_none(tmp_path: Path, shape: str) -> None:
    """Untracked from the first packet on, idle, busy or kept alive: each goes on when the next plan leaves its service
    tracked, when that is undone, and when all is."""
    with host(shape, tmp_path) as here:
        first = planned(here.web, BOTH)
        before = some(here, "idle before")
        assert [apply(here.made, first, 60).answer, confirm(here.made).answer] == ["armed", "confirmed"]
        idle = {step: some(here, f"idle until {step}") for step in ("replaced", "back", "undone")}
        busy, kept_alive = some(here, "busy"), some(here, "kept alive")
        second = planned(here.web, INBOUND)
        with talking(busy) as lost:
            assert [apply(here.made, second, 60).answer, confirm(here.made).answer] == ["armed", "confirmed"]
            assert {} == cut(idle["replaced"] + kept_alive)
            assert (rollback(here.made).plan, here.tracked_of(first)) == (first.name, 0)
            assert {} == cut(idle["back"] + kept_alive)
            assert rollback(here.made).state is State.NOTHING
            assert {} == cut(idle["undone"] + kept_alive + before)
        assert [] == lost
        print(shape, len(before) + len(busy) + len(kept_alive) + sum(map(len, idle.values())))


@pytest.mark.parametrize("shape", SHAPES)
def test_an_expiry_that_somebody_waits_for_cuts_none(tmp_path: Path, shape: str) -> None:
    """`apply --wait` makes entries before the guard ends: those go on too that the plan lists where nobody is alive."""
    with host(shape, tmp_path) as here:
        plan = planned(here.web, BOTH)
        assert apply(here.made, plan, 6.0 + EACH / 5).answer == "armed"
        idle, busy = some(here, "idle"), some(here, "busy")
        assert any(listed(plan, one.service, one.first) for one in idle)
        with talking(busy) as lost:
            assert wait(here.made).state is State.EXPIRED
            assert {} == cut(idle)
        assert [] == lost
        assert rollback(here.made).state is State.NOTHING
        assert {} == cut(idle + busy)
