"""The programs that make a host's rules, by the names that they give."""

from __future__ import annotations

import pytest

from conntrim.core.parse.ruleset import read_all
from conntrim.core.plan.managers import managers_of

TABLE = "*filter\n:INPUT ACCEPT [0:0]\n:{0} - [0:0]\n-A INPUT -j {0}\nCOMMIT\n"


@pytest.mark.parametrize(
    ("chain", "names"),
    [
        ("ufw6-before-input", ("ufw",)),
        ("IN_public_allow", ("firewalld",)),
        ("DOCKER-USER", ("Docker",)),
        ("KUBE-SERVICES", ("Kubernetes",)),
        ("f2b-sshd", ("fail2ban",)),
        ("RH-Firewall-1-INPUT", ()),
        ("MY-DOCKER", ()),
    ],
)
def test_a_chain_tells_who_made_it(chain: str, names: tuple[str, ...]) -> None:
    """Chains of known programs are known, others are nobody's."""
    ruleset = read_all([("rules.v4", TABLE.format(chain).encode())])
    assert names == tuple(manager.name for manager in managers_of(ruleset))
