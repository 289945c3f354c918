"""What confirm writes beside firewalld."""

from __future__ import annotations

import pytest

from conntrim.core.rollout.claim import Claim
from conntrim.core.rollout.firewalld import all_in_firewalld, beside_firewalld, firewalld_alone, firewalld_files
from conntrim.core.rollout.persist_nft import ours_nft

WHERE = ("firewalld filter_INPUT", "filter filter_INPUT")
LISTING = """\
table inet firewalld {
\tchain filter_INPUT {
\t\ttype filter hook input priority filter + 10; policy accept;
\t\ttcp sport 1 accept comment "conntrim: one"
\t\ttcp sport 2 accept comment "conntrim: two"
\t\tct state { established, related } accept
\t}
}
table inet conntrim {
\tchain untrack {
\t\ttcp dport 1 notrack comment "conntrim: one"
\t}
}
"""
CLAIM = Claim(frozenset((f"nft inet {where}", f"conntrim: {n}") for where in WHERE for n in ("one", "two")))


def test_accepts_go_in_backwards_so_that_the_first_one_is_first() -> None:
    """Each insert goes before all others: the last line of the file is the first rule of the chain."""
    rows = beside_firewalld(LISTING, ours_nft(LISTING, CLAIM)).splitlines()
    assert rows[-2:] == [
        'insert rule inet firewalld filter_INPUT tcp sport 2 accept comment "conntrim: two"',
        'insert rule inet firewalld filter_INPUT tcp sport 1 accept comment "conntrim: one"',
    ]
    assert rows[1:3] == ["table inet conntrim", "delete table inet conntrim"]


def test_what_firewalld_starts_with_has_none_of_our_rules() -> None:
    """Its table and no other, without our lines."""
    assert firewalld_alone(LISTING, ours_nft(LISTING, CLAIM)).split("\n")[2:5] == [
        "\t\ttype filter hook input priority filter + 10; policy accept;",
        "\t\tct state { established, related } accept",
        "\t}",
    ]
    assert "inet conntrim" not in firewalld_alone(LISTING, ours_nft(LISTING, CLAIM))


@pytest.mark.parametrize(
    ("listing", "expected"), [(LISTING, True), (LISTING.replace("firewalld", "filter"), False), ("", False)]
)
def test_only_rules_in_its_table_are_the_units(listing: str, expected: bool) -> None:
    """Where a rule of ours stands in another table, or none in anybody's, the unit is not what is wanted."""
    assert all_in_firewalld(ours_nft(listing, CLAIM)) is expected


def test_the_unit_waits_for_firewalld_and_follows_it() -> None:
    """firewalld's start wants it; it waits for the rules before it loads ours, with the programs of this host."""
    found = {"nft": "/opt/nft", "busctl": "/opt/busctl", "firewall-cmd": "/opt/firewall-cmd"}
    ours = ours_nft(LISTING, CLAIM)
    files = {change.path.rpartition("/")[2]: change.text for change in firewalld_files("rules\n", ours, found)}
    assert list(files) == ["untrack.nft", "firewalld.sh", "conntrim-firewalld.service", "conntrim.conf"]
    unit = files["conntrim-firewalld.service"].splitlines()
    assert ["ExecStartPre=/opt/firewall-cmd --state", "ExecStart=/bin/sh /etc/conntrim/firewalld.sh"] == [
        line for line in unit if line.startswith("Exec")
    ]
    assert {"After=firewalld.service", "PartOf=firewalld.service"} <= set(unit)
    assert "/opt/busctl monitor" in files["firewalld.sh"]
    assert "/opt/nft -f ./untrack.nft" in files["firewalld.sh"]
    assert """list table inet firewalld | grep -qF 'comment "conntrim: one"';""" in files["firewalld.sh"]
