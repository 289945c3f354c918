"""Fixtures of all tests: the lab's hosts, the corpus, and why either is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from conntrim.lab.netns import LabHost, lab_host

ROOT = Path(__file__).parent.parent

# A run of the tests says the same each time; HYPOTHESIS_PROFILE=explore looks further.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def lab_missing() -> str:
    """Why the lab cannot run here; empty where it can."""
    if os.geteuid() != 0:
        return "needs root to make network namespaces"
    if not Path("/proc/sys/net/netfilter").exists():
        return "this kernel has no conntrack"
    return ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything below tests/lab is a lab test; it is skipped with a reason where the lab cannot run."""
    reason = lab_missing()
    for item in items:
        if ROOT / "tests" / "lab" in item.path.parents:
            item.add_marker(pytest.mark.lab)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def host() -> Iterator[LabHost]:
    """A lab host of its own for one test."""
    with lab_host("test") as made:
        yield made


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The other people's rule sets; skips where there are none."""
    path = Path(os.environ.get("CONNTRIM_CORPUS", ROOT.parent / "shared" / "corpus"))
    if not path.is_dir():
        pytest.skip(f"no corpus at {path}; name one with CONNTRIM_CORPUS")
    return path
