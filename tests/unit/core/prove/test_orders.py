"""Chains at one priority: what holds in both orders is decided, what does not is said to depend on the order (K2)."""

from dataclasses import replace

import pytest

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.parse.policy import parse_policy
from conntrim.core.parse.ruleset import read
from conntrim.core.plan.obligations.decide import decide
from conntrim.core.prove.compare import compare
from conntrim.core.prove.orders import orders

RAW = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 80 -j CT {}\nCOMMIT\n"
FILTER = "*filter\n:INPUT DROP [0:0]\n{}-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
UNTRACKED = "-A INPUT -m conntrack --ctstate UNTRACKED -j ACCEPT\n"
DNS = "-A INPUT -p udp -m udp --dport 53 -j ACCEPT\n"


def tied(accepts: str) -> Ruleset:
    """A zone and a NOTRACK for the same packets, in two tables whose chains share hook and priority."""
    (zone,), (notrack,) = read(RAW.format("--zone 3"), "zone").tables, read(RAW.format("--notrack"), "notrack").tables
    return Ruleset((zone, replace(notrack, name="other"))) + read(FILTER.format(accepts), "filter")


def test_both_orders_are_made() -> None:
    """Of one tie two orders come, each with the tied chains apart; without a tie there is one, unchanged."""
    plain = read(RAW.format("--notrack") + FILTER.format(""), "rules")
    assert [((plain, plain), "")] == list(orders((plain, plain)))
    made = [[c.base.priority for t in pair[0].tables for c in t.chains if c.base and c.base.hook == "prerouting"]
            for pair, _ in orders((tied(""), tied("")))]  # fmt: skip
    assert [[-301, -300], [-299, -300]] == made


def test_what_no_order_changes_is_decided() -> None:
    """A new accept of DNS is the same difference in both orders, and nothing stays open."""
    found = compare(tied(""), tied(DNS))
    assert ((), ()) == (found.undecided, found.remarks)
    assert {"udp, destination port 53"} == {r.words for d in found.differences for r in d.regions}


def test_what_an_order_changes_is_not_decided() -> None:
    """UNTRACKED is newly accepted: web packets are untracked only if NOTRACK comes before the zone (K10)."""
    found = compare(tied(""), tied(UNTRACKED))
    assert any("PREROUTING runs behind ip other PREROUTING" in why for why in found.undecided)


def nats(hook: str, *rules: str) -> Ruleset:
    """A table for each of these rules, whose nat chains share hook and priority."""
    text = "*nat\n:{0} ACCEPT [0:0]\n-A {0} -p tcp -m tcp --dport 80 -j {1}\nCOMMIT\n"
    tables = (read(text.format(hook, rule), "nat").tables[0] for rule in rules)
    return Ruleset(tuple(replace(table, name=f"nat{at}") for at, table in enumerate(tables)))


SOURCES = "SNAT --to-source 192.0.2.1", "MASQUERADE"


@pytest.mark.parametrize(
    ("hook", "rules", "open_"),
    [("POSTROUTING", SOURCES, False), ("POSTROUTING", ("DROP", SOURCES[0]), True),
     ("PREROUTING", ("REDIRECT", "DNAT --to-destination 192.0.2.9"), True),
     ("POSTROUTING", ("DROP", *SOURCES), True), ("POSTROUTING", (*SOURCES, SOURCES[0]), False)],
    ids=["two sources", "a drop", "two destinations", "a drop among three", "three sources"],
)  # fmt: skip
def test_nat_chains_that_share_a_priority(hook: str, rules: tuple[str, ...], open_: bool) -> None:
    """What packets meet of a drop and of a translation in two nat chains hangs on their order; two sources do not."""
    found = compare(nats(hook, *rules), nats(hook, *rules) + read(FILTER.format(UNTRACKED), "filter"))
    alone = compare(nats(hook), nats(hook, *rules))
    assert open_ is any("order" in why or "runs be" in why for why in (*alone.undecided, *alone.remarks))
    assert not any("order" in why for why in found.undecided)


def test_an_obligation_that_hangs_on_the_order_is_not_decided() -> None:
    """What an accept of UNTRACKED opens in one order only is neither proved nor broken, and the order is named."""
    policy = parse_policy(b'[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [443]\n', "policy")
    found = decide(tied(""), tied(UNTRACKED), policy, Intervals(), (32768, 60999))
    told = {o.name: o for o in found.obligations}
    assert ObligationStatus.NOT_DECIDED is told["no-exposure"].standing
    assert "PREROUTING runs behind ip other PREROUTING, which no listing shows" in told["no-exposure"].why
    assert ObligationStatus.PROVED is told["no-loss"].standing
