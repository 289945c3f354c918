"""The checked for the tests that state the kernel's facts."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from conntrim.lab.oracle import Oracle, consulting
from tests.lab.oracles import KernelCheck


@pytest.fixture(scope="session", autouse=True)
def _heeded() -> None:
    """What the lab starts heeds SIGHUP, even where this run ignores it (nohup): a shell could not trap it then."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # ignored here still, and the default again in every child


@pytest.fixture(scope="module")
def bench() -> Iterator[Oracle]:
    """One oracle for all tests of a file."""
    with consulting() as oracle:
        yield oracle


@pytest.fixture
def checked(bench: Oracle) -> Iterator[KernelCheck]:
    """A checked without rules and entries."""
    yield KernelCheck(bench)
    bench.unload()
    bench.forget()
