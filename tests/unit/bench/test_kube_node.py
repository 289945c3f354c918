"""The node of kube-proxy that the bench plans for is what it says to be."""

from __future__ import annotations

from bench.kube_node import BASE, PER_SERVICE, kube_node
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import Jump
from conntrim.core.parse.ruleset import read


def test_each_service_has_eleven_rules_and_three_endpoints_that_it_reaches() -> None:
    """Every rule is read, every chain is jumped to, each service translates to three endpoints."""
    ruleset = read(kube_node(40), "node")
    rules = list(ruleset.rules())
    assert BASE + 40 * PER_SERVICE == len(rules)
    entered = {s.chain for rule in rules for s in rule.statements if isinstance(s, Jump)}
    assert entered == {chain.name for table in ruleset.tables for chain in table.chains if chain.base is None}
    assert 40 * 3 == sum(isinstance(s, Nat) and s.kind == "dnat" for rule in rules for s in rule.statements)


def test_a_service_that_moved_differs_in_its_own_rules_alone() -> None:
    """Other endpoints change the chains of that service, nothing else."""
    one, other = (set(kube_node(40, moved).splitlines()) for moved in (None, 7))
    assert all("shop/service-7:http" in line or "KUBE-SEP" in line for line in one ^ other)
    assert {"shop/service-7:http"} == {line.split('"')[1].split(" ")[0] for line in one ^ other if '"' in line}
