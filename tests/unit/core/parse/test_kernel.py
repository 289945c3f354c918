"""One kernel's listings as one rule set."""

from __future__ import annotations

import json

import pytest

from conntrim.core.emit.iptables import rule_words
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.digest import digest
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import (
    Dialect,
    End,
    In,
    InSet,
    OpaqueMatch,
    Ruleset,
    TableFamily,
    Verdict,
    XtConntrack,
)
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


EMPTY = "# Table `filter' contains incompatible base-chains, use 'nft' tool to list them.\n*filter\nCOMMIT\n"


def test_an_incompatible_table_comes_from_nft() -> None:
    """iptables-nft-save prints such a table empty, with a comment; nft has its rules."""
    found = read_kernel([save(EMPTY)], nft([{"accept": None}]), None)
    assert [(Dialect.NFTABLES, "filter", 1)] == told(found)


def test_a_table_without_a_chain_of_iptables_comes_from_nft() -> None:
    """iptables-nft-save lists its base chains in any table of a name it knows; where none is there, it made none."""
    base = EMPTY.replace("COMMIT", ":INPUT ACCEPT [0:0]\nCOMMIT")
    found = read_kernel([save(base)], nft([{"accept": None}]).replace('"INPUT"', '"input"'), None)
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


DPORT = {"payload": {"protocol": "tcp", "field": "dport"}}
CONNTRACK: list[object] = [{"xt": {"type": "match", "name": "conntrack"}}, {"accept": None}]
NATIVE: list[object] = [{"match": {"op": "==", "left": DPORT, "right": {"set": [22, 23]}}}, {"accept": None}]
BOTH = """\
*filter
-A INPUT -m conntrack --ctstate NEW -j ACCEPT
-A INPUT -p tcp -j ACCEPT
COMMIT
"""
"""What the save makes of both (K96)."""


def test_a_native_rule_beside_those_of_iptables() -> None:
    """Each rule has the meaning of the listing that tells it, in one table of iptables; nothing is unread."""
    found = read_kernel([save(BOTH)], nft(CONNTRACK, NATIVE), None)
    first, second = found.tables[0].chains[0].rules
    assert (Dialect.IPTABLES_NFT, ()) == (found.tables[0].dialect, found.unread)
    assert (XtConntrack(Intervals.of(int(CtState.NEW))),) == first.matches
    assert Intervals.of(22, 23) in [m.values for m in second.matches if isinstance(m, In) and m.field is Field.DPORT]


def test_listings_that_do_not_pair_leave_xt_undecided() -> None:
    """One rule more in nft's listing: which is which nobody knows, so conntrack's arguments are lost and it is said."""
    found = read_kernel([save(BOTH)], nft(CONNTRACK, NATIVE, NATIVE), None)
    assert [(Dialect.NFTABLES, "filter", 3)] == told(found)
    assert ["conntrack, whose arguments nft does not list" in note for note in found.unread] == [True]


def test_an_end_that_differs_does_not_pair() -> None:
    """As many rules, but the save accepts where nft drops: two listings of different rules."""
    other: list[object] = [{"xt": {"type": "match", "name": "conntrack"}}, {"drop": None}]
    assert read_kernel([save(BOTH)], nft(other, NATIVE), None).unread


def test_what_the_save_left_out_of_its_own_rule_counts() -> None:
    """K92: the save forgets `! --sport 0:65535`, nft tells it: the rule matches what both say."""
    sport = {"payload": {"protocol": "tcp", "field": "sport"}}
    never: object = {"match": {"op": "!=", "left": sport, "right": {"range": [0, 65535]}}}
    found = read_kernel([save(BOTH)], nft([never, *CONNTRACK], NATIVE), None)
    assert In(Field.SPORT, Intervals()) in found.tables[0].chains[0].rules[0].matches


def test_a_comment_alone_loses_nothing() -> None:
    """Without any save, `xt comment` and LOG leave a rule as nft tells it."""
    log: object = {"xt": {"type": "target", "name": "LOG"}}
    comment: object = {"xt": {"type": "match", "name": "comment"}}
    assert () == read_kernel([], nft([comment, {"accept": None}], [log]), None).unread
    assert read_kernel([], nft([{"xt": {"type": "target", "name": "CT"}}]), None).unread


def test_a_line_that_is_not_understood_costs_itself() -> None:
    """An option of a later iptables, a policy and a table that nobody knows: the rest of a legacy save stands."""
    text = (
        "*filter\n:INPUT MAYBE [0:0]\n-A INPUT -p tcp -m tcp --later 5 -j DROP\n-A INPUT -j ACCEPT\nCOMMIT\n"
        "*broute\n-A X -j DROP\nCOMMIT\n"
    )
    found = read_kernel([save(text, Dialect.IPTABLES_LEGACY)], None, None)
    first, second = found.tables[0].chains[0].rules
    assert ("unread", End(Verdict.ACCEPT)) == (first.statements[0].kind, second.statements[0])  # type: ignore[union-attr]
    assert ["2: no chain in", "3: unknown option --later", "6: no such table: broute"] == [
        note.removeprefix("iptables-nft-save:")[: len(start)]
        for note, start in zip(sorted(found.unread), ("2: no chain in", "3: unknown option --later",
                                                      "6: no such table: broute"), strict=True)
    ]  # fmt: skip


def test_an_unknown_protocol_or_target_is_opaque_only() -> None:
    """Both are as the packet has them or do what they do: nothing else is unread for it."""
    text = "*filter\n-A INPUT -p novel -j DROP\n-A INPUT -j GONE --way out\nCOMMIT\n"
    found = read_kernel([save(text, Dialect.IPTABLES_LEGACY)], None, None)
    assert () == found.unread
    assert [(OpaqueMatch("protocol", "-p novel"),), ()] == [r.matches for r in found.tables[0].chains[0].rules]


def test_a_set_of_nft_is_no_ipset() -> None:
    """An ipset of the same name beside it: each rule asks its own."""
    asks: list[object] = [{"match": {"op": "==", "left": DPORT, "right": "@s"}}, {"accept": None}]
    items = json.loads(nft(CONNTRACK, asks))["nftables"]
    items.append({"set": {"family": "ip", "table": "filter", "name": "s", "type": "inet_service", "elem": [22]}})
    found = read_kernel([save(BOTH)], json.dumps({"nftables": items}), "create s hash:ip family inet\n")
    assert ["@s"] == [m.set_name for m in found.tables[0].chains[0].rules[1].matches if isinstance(m, InSet)]
    assert ["@s"] == [each.name for each in found.tables[0].sets]
    with pytest.raises(NotExpressible):
        list(rule_words(found.tables[0].chains[0].rules[1], False))
