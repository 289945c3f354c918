"""Batches of a trial as they load where no rule stands."""

from __future__ import annotations

from conntrim.core.model.plan import Batch
from conntrim.core.rollout.alone import alone

XT = """\
*filter
:CONNTRIM-LIMIT-1 - [0:0]
-A CONNTRIM-LIMIT-1 -m connlimit --connlimit-above 9 -j REJECT
-I FORWARD 7 -m time --datestop @DEADLINE@ -m comment --comment "in -j LOG" -j CONNTRIM-LIMIT-1
-I trusted 3 -m set --match-set office src -j office
-I INPUT 2 -m nfacct --nfacct-name web -j ACCEPT
COMMIT
"""
NFT = """\
add table inet conntrim
table inet conntrim {
	ct timeout timeout_1 {
		protocol udp
	}
}
add rule inet conntrim forward ct timeout set "timeout_1"
insert rule inet fw input index 3 tcp dport 80 accept
add rule inet conntrim forward handle @HANDLE inet conntrim forward "x"@ accept
add element inet conntrim conntrim_armed { tcp . tcp timeout @SECONDS@s }
"""


def test_rules_of_iptables_come_without_their_places_and_with_the_chains_they_need() -> None:
    """No index, which an empty chain lacks; chains of the host's that are added to or jumped to are made; what takes
    an object that only the host has is left out."""
    found = alone(Batch("iptables-nft-restore", XT), {"INPUT", "FORWARD", "trusted", "office", "LOG"})
    assert found.whole().text == (
        "*filter\n:CONNTRIM-LIMIT-1 - [0:0]\n:trusted - [0:0]\n:office - [0:0]\n"
        "-A CONNTRIM-LIMIT-1 -m connlimit --connlimit-above 9 -j REJECT\n"
        '-A FORWARD -m time --datestop @DEADLINE@ -m comment --comment "in -j LOG" -j CONNTRIM-LIMIT-1\n'
        "-A trusted -m set --match-set office src -j office\nCOMMIT\n"
    )
    assert found.sets() == {"office"}


def test_each_statement_can_be_added_to_those_before_it() -> None:
    """The chains come once: a restore empties a chain that it declares."""
    steps = [batch.text for _, batch in alone(Batch("iptables-nft-restore", XT), {"office"}).each()]
    assert [":trusted" in text for text in steps] == [True, False, False]
    assert all(text.startswith("*filter\n") and text.count("-A ") == 1 for text in steps)


def test_of_nft_our_own_table_is_left() -> None:
    """Objects whole; nothing about tables of the host's, and no rule's handle."""
    found = alone(Batch("nft", NFT), ())
    assert found.statements == (
        "add table inet conntrim",
        "table inet conntrim {\n\tct timeout timeout_1 {\n\t\tprotocol udp\n\t}\n}",
        'add rule inet conntrim forward ct timeout set "timeout_1"',
        "add element inet conntrim conntrim_armed { tcp . tcp timeout @SECONDS@s }",
    )
