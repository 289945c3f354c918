"""Chains at one priority: what holds in both orders is decided, what does not is said to depend on the order (K2)."""

from dataclasses import replace

import pytest

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.ruleset import Base, Ruleset
from conntrim.core.model.service import Hook
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


def running(ruleset: Ruleset, hook: str) -> list[str]:
    """The tables of a hook's chains in the order in which the kernel calls them."""
    hung = [(c.base.priority, t.name) for t in ruleset.tables for c in t.chains if c.base and c.base.hook == hook]
    assert len({priority for priority, _ in hung}) == len(hung)
    return [name for _, name in sorted(hung)]


def test_both_orders_are_made() -> None:
    """Of one tie two orders come, each with the tied chains apart; without a tie there is one, unchanged."""
    plain = read(RAW.format("--notrack") + FILTER.format(""), "rules")
    assert [((plain, plain), "")] == list(orders((plain, plain)))
    made = [running(pair[0], "prerouting") for pair, _ in orders((tied(""), tied("")))]
    assert [["raw", "other"], ["other", "raw"]] == made


def test_three_chains_have_six_orders() -> None:
    """Of three nat chains at one priority each order is made once, the same in both rule sets, and told."""
    three = nats("PREROUTING", "REDIRECT", "DROP", "DNAT --to-destination 192.0.2.9")
    made = {words: [running(r, "prerouting") for r in pair] for pair, words in orders((three, three))}
    assert len(made) == 6 == len({tuple(one) for one, _ in made.values()})
    assert all(one == other for one, other in made.values())
    told = "ip nat1 PREROUTING runs before ip nat0 PREROUTING, then ip nat2 PREROUTING"
    assert ["nat1", "nat0", "nat2"] == made[told][0]


def test_a_chain_beside_a_tie_leaves_no_room_to_move_it() -> None:
    """Where something hangs at the next priorities, the tie stays, and what it matters to is not decided."""
    beside = nats("PREROUTING", "DROP")
    at = replace(beside.tables[0].chains[0], name="BESIDE", base=Base("nat", Hook.PREROUTING, -99))
    beside = replace(beside, tables=(replace(beside.tables[0], name="beside", chains=(at,)),))
    two = nats("PREROUTING", "REDIRECT", "DROP")
    assert [""] == [words for _, words in orders((two + beside, two + beside))]
    assert compare(nats("PREROUTING", "REDIRECT") + beside, two + beside).undecided


def test_what_no_order_changes_is_decided() -> None:
    """A new accept of DNS is the same difference in both orders, and nothing stays open."""
    found = compare(tied(""), tied(DNS))
    assert ((), ()) == (found.undecided, found.remarks)
    assert {"udp, destination port 53"} == {r.words for d in found.differences for r in d.regions}


def test_what_an_order_changes_is_not_decided() -> None:
    """UNTRACKED is newly accepted: web packets are untracked only if NOTRACK comes before the zone (K10)."""
    found = compare(tied(""), tied(UNTRACKED))
    assert any("ip other PREROUTING runs before ip raw PREROUTING" in why for why in found.undecided)


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
    assert not any("the order of" in why for why in found.undecided)


def test_of_what_differs_in_one_order_only_nothing_is_shown() -> None:
    """A drop comes to a redirection and a translation at one priority: who is refused depends on the order, and is no
    difference. A new accept of DNS beside it is one in each order."""
    two = "REDIRECT", "DNAT --to-destination 192.0.2.9"
    found = compare(nats("PREROUTING", *two), nats("PREROUTING", *two, "DROP"))
    assert () == found.differences
    assert any(why.startswith("what differs is another thing if ip nat") for why in found.undecided)
    three = nats("PREROUTING", *two, "DROP")
    after = three + read(FILTER.format(DNS), "filter")
    shown = compare(three + read(FILTER.format(""), "filter"), after)
    assert {"udp, destination port 53"} == {r.words for d in shown.differences for r in d.regions}


def test_more_orders_than_are_looked_at_are_not_decided() -> None:
    """Four chains that drop or translate the same packets have 24 orders: nothing is said of the directions in which
    they matter, neither that it differs nor that it is the same."""
    four = "REDIRECT", "DROP", "DNAT --to-destination 192.0.2.9", "DNAT --to-destination 192.0.2.8"
    found = compare(nats("PREROUTING", *four[:3]), nats("PREROUTING", *four))
    assert () == found.differences
    assert any("the order of the nat chains" in why for why in found.undecided)


def test_an_obligation_that_hangs_on_the_order_is_not_decided() -> None:
    """What an accept of UNTRACKED opens in one order only is neither proved nor broken, and the order is named."""
    policy = parse_policy(b'[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [443]\n', "policy")
    found = decide(tied(""), tied(UNTRACKED), policy, Intervals(), (32768, 60999))
    told = {o.name: o for o in found.obligations}
    assert ObligationStatus.NOT_DECIDED is told["no-exposure"].standing
    assert "ip other PREROUTING runs before ip raw PREROUTING, which no listing shows" in told["no-exposure"].why
    assert ObligationStatus.PROVED is told["no-loss"].standing
