"""libnftables' JSON commands: what we make of them against what nft loads and lists."""

from __future__ import annotations

import pytest

from conntrim.core.model.errors import HostError
from conntrim.core.model.normal import normal
from conntrim.core.parse.ruleset import read
from conntrim.lab.netns import LabHost
from tests.unit.core.parse.nft.commanding import CASES, REFUSED, document


@pytest.mark.parametrize("name", CASES)
def test_the_kernel_shows_what_we_read(host: LabHost, name: str) -> None:
    """Loaded into an empty namespace, the commands leave the tables, chains, rules and elements that we read."""
    text = document(*CASES[name])
    host.run("nft", "-j", "-f", "-", text=text)
    listed = normal(read(host.run("nft", "-j", "list", "ruleset"), "nft"))
    ours = normal(read(text, "ours"))
    assert [(t.name, t.chains, t.sets, t.objects) for t in ours.tables] == [
        (t.name, t.chains, t.sets, t.objects) for t in listed.tables
    ]


@pytest.mark.parametrize("name", REFUSED)
def test_the_kernel_refuses_what_we_refuse(host: LabHost, name: str) -> None:
    """Nothing that we call an error loads."""
    with pytest.raises(HostError):
        host.run("nft", "-j", "-f", "-", text=document(*REFUSED[name]))
