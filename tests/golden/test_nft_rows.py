"""The row files of nft rules: what each listed rule is read as, or why it is refused."""

from __future__ import annotations

import json
import re

import pytest

from conntrim.core.model.ruleset import End, OpaqueMatch, OpaqueStatement
from conntrim.core.parse.nft.document import read_nft
from conntrim.core.parse.xt.options import MATCHES, TARGETS
from tests.golden.nft_rows import NftRow, judged_nft, nft_rows, table_of
from tests.golden.rows import ROWS

FOUND = [row for name in ("nft.t", "nft-1.1.t") for row in nft_rows(ROWS / name)]
"""The second file has what libnftables-json(5) of nft 1.1 tells beyond the first, also what this kernel would not load,
and what no nft has yet: it is opaque by its name."""


@pytest.mark.parametrize("row", FOUND, ids=lambda row: f"{row.family} {row.rule}")
def test_row(row: NftRow) -> None:
    """The listed rule is read as it was when a person last looked at it."""
    assert (row.verdict, row.canonical) == judged_nft(row.family, row.json)


def test_a_table_of_a_family_that_nobody_knows_is_told() -> None:
    """It is not on the path of IP packets as far as anybody here knows: nothing is proved over it."""
    text = '{"nftables": [{"table": {"family": "newfam", "name": "t"}}, {"table": {"family": "ip", "name": "u"}}]}'
    ruleset = read_nft(text, "f")
    assert [table.name for table in ruleset.tables] == ["u"]
    assert ruleset.unread == ("f: table newfam t is of a family that is not known",)


def test_what_is_inside_a_tunnel_is_not_the_packet() -> None:
    """`vxlan ip saddr` asks the packet that is carried: taken for the outer one it would match others."""
    inner = {"payload": {"tunnel": "vxlan", "protocol": "ip", "field": "saddr"}}
    match = {"match": {"op": "==", "left": inner, "right": "192.0.2.1"}}
    chain = table_of("inet", json.dumps({"expr": [match]})).chain("c")
    assert chain is not None
    assert chain.rules[0].matches == (OpaqueMatch("vxlan ip saddr", "vxlan ip saddr 192.0.2.1"),)


def test_a_part_of_iptables_without_a_name_may_be_a_match_or_a_target() -> None:
    """nft before 1.0.3 lists `{"xt": null}`: what is behind it may not be reached, what it does is not known."""
    chain = table_of("ip", json.dumps({"expr": [{"xt": None}, {"accept": None}]})).chain("c")
    assert chain is not None
    [rule] = chain.rules
    assert [type(part) for part in (*rule.matches, *rule.statements)] == [OpaqueMatch, OpaqueStatement, End]


@pytest.mark.parametrize("spec", [*MATCHES, *TARGETS])
def test_every_extension_has_a_row(spec: str) -> None:
    """Each match and target of iptables 1.8.11 is read in at least one row: known, or opaque by its name."""
    text = (ROWS / "iptables.t").read_text(encoding="utf-8")
    assert re.search(rf"-[mjp] {re.escape(spec)}\b", text)


def test_there_are_enough() -> None:
    """With iptables' rows there are at least four hundred of our own."""
    files = [path.read_text(encoding="utf-8").splitlines() for path in ROWS.glob("*.t")]
    assert sum(1 for lines in files for line in lines if line and line[0] not in "@#") >= 400
