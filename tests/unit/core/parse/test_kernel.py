"""One kernel's listings as one rule set."""

from __future__ import annotations

import json

from conntrim.core.model.digest import digest
from conntrim.core.model.ruleset import Dialect, Ruleset, TableFamily
from conntrim.core.parse.kernel import Save, read_kernel

FILTER = "*filter\n:INPUT ACCEPT [{0}:9]\n[{0}:9] -A INPUT -m recent --name x -j DROP\nCOMMIT\n"


def nft(*rules: list[object]) -> str:
    """A listing of table ip filter with an INPUT chain."""
    said = {"family": "ip", "table": "filter"}
    items: list[object] = [
        {"table": {"family": "ip", "name": "filter", "handle": 1}},
        {"chain": said | {"name": "INPUT", "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}},
        *({"rule": said | {"chain": "INPUT", "handle": 7, "expr": rule}} for rule in rules),
    ]
    return json.dumps({"nftables": items})


def save(text: str, dialect: Dialect = Dialect.IPTABLES_NFT) -> Save:
    """What a save program of IPv4 printed."""
    return Save("iptables-nft-save", TableFamily.IP, dialect, text)


def told(ruleset: Ruleset) -> list[tuple[Dialect, str, int]]:
    """Each table's dialect, name and number of rules."""
    return [(t.dialect, t.name, sum(len(c.rules) for c in t.chains)) for t in ruleset.tables]


def test_a_table_of_iptables_comes_from_its_save() -> None:
    """nft lists such a table too, without the arguments of its matches (K36): it is not read twice."""
    listing = nft([{"xt": {"type": "match", "name": "recent"}}, {"drop": None}])
    found = read_kernel([save(FILTER.format(1))], listing, None)
    assert [(Dialect.IPTABLES_NFT, "filter", 1)] == told(found)
    assert () == found.remarks


def test_both_back_ends_at_once() -> None:
    """Tables of the legacy back end stand beside those of the new one (K37)."""
    saves = [save(FILTER.format(1)), save(FILTER.format(1), Dialect.IPTABLES_LEGACY)]
    assert [Dialect.IPTABLES_NFT, Dialect.IPTABLES_LEGACY] == [d for d, _, _ in told(read_kernel(saves, None, None))]


def test_an_incompatible_table_comes_from_nft() -> None:
    """iptables-nft-save prints such a table empty, with a comment; nft has its rules."""
    empty = "# Table `filter' contains incompatible base-chains, use 'nft' tool to list them.\n*filter\nCOMMIT\n"
    found = read_kernel([save(empty)], nft([{"accept": None}]), None)
    assert [(Dialect.NFTABLES, "filter", 1)] == told(found)


def test_a_table_with_sets_comes_from_nft() -> None:
    """iptables-nft-save prints a rule with an anonymous set as if the set were not there."""
    dport = {"payload": {"protocol": "tcp", "field": "dport"}}
    rule: list[object] = [{"match": {"op": "==", "left": dport, "right": {"set": [22, 23]}}}, {"accept": None}]
    wrong = "*filter\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n"
    assert [(Dialect.NFTABLES, "filter", 1)] == told(read_kernel([save(wrong)], nft(rule), None))


def test_a_broken_save_is_a_remark() -> None:
    """A save that stops in the middle is not read, and the reader is told."""
    found = read_kernel([save("*filter\n-A INPUT -p tcp -j ACCEPT\n")], nft([{"accept": None}]), None)
    assert [(Dialect.NFTABLES, "filter", 1)] == told(found)
    assert 1 == len(found.remarks)


def test_the_digest_is_of_what_is_said() -> None:
    """Counters do not change the digest; a rule does."""
    one, two = (digest(read_kernel([save(FILTER.format(n))], None, None)) for n in (1, 2))
    other = digest(read_kernel([save(FILTER.format(1).replace("DROP", "ACCEPT"))], None, None))
    assert (one == two, one == other) == (True, False)
