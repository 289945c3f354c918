"""Other people's hosts: what the rows say of their plans is so, and the manual lists all of them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.golden.plans import HOSTS, Host, dialect_of, not_proved, page

PAGE = Path(__file__).parents[2] / "docs/plans-on-real-hosts.md"
EVERY = 1 if os.environ.get("CONNTRIM_HOSTS") else 4
"""Without CONNTRIM_HOSTS=all every fourth row is planned."""


@pytest.mark.corpus
@pytest.mark.parametrize("host", HOSTS[::EVERY], ids=lambda host: host.name)
def test_plan_of_a_real_host(corpus: Path, host: Host) -> None:
    """The plan of somebody else's host is proved, or refused for the obligations that the row names."""
    assert host.refused == not_proved(host.plan(corpus))


def test_enough_hosts_are_proved() -> None:
    """At least twenty different hosts have a plan that is proved, of both dialects; every refusal says why."""
    proved = {host.file for host in HOSTS if not host.refused}
    assert len(proved) >= 40
    assert min(Counter(dialect_of(file) for file in proved).values()) >= 15
    assert [] == [host.file for host in HOSTS if bool(host.refused) is not bool(host.why)]


def test_the_page_lists_the_rows() -> None:
    """docs/plans-on-real-hosts.md says what the rows say; where not, the .got beside it is what it should be."""
    wanted = page(HOSTS)
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted:
        PAGE.with_suffix(".md.got").write_text(wanted, encoding="utf-8")
    assert PAGE.exists()
    assert PAGE.read_text(encoding="utf-8") == wanted
