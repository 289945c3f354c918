"""Our rules in other people's files: placed by what stands before them, nothing else touched."""

from __future__ import annotations

import pytest

from conntrim.core.rollout.claim import Claim
from conntrim.core.rollout.persist import NoPlaceError, ours_xt, with_ours_xt
from conntrim.core.rollout.persist_nft import chains_nft, ours_nft, own_file, own_table, with_ours_nft

CLAIM = Claim(
    frozenset(("x filter INPUT", f"conntrim: {name}") for name in ("web", "last"))
    | frozenset(("nft inet filter input", f"conntrim: {name}") for name in "ab")
)
SAVED = """\
# by hand
*filter
:INPUT DROP [0:0]
# the office
[1:60] -A INPUT -s 192.0.2.1 -j ACCEPT
-A INPUT -j DROP

COMMIT
# end
"""
LISTED = """\
*filter
:INPUT DROP [9:9]
-A INPUT -s 192.0.2.1/32 -j ACCEPT
-A INPUT -p tcp -m comment --comment "conntrim: web" -j ACCEPT
-A INPUT -j DROP
-A INPUT -p udp -m comment --comment "conntrim: last" -j ACCEPT
COMMIT
*raw
:PREROUTING ACCEPT [0:0]
:CONNTRIM-PREROUTING - [0:0]
-A PREROUTING -m comment --comment "conntrim: untrack" -j CONNTRIM-PREROUTING
-A CONNTRIM-PREROUTING -p tcp --dport 80 -j CT --notrack
COMMIT
"""
WRITTEN = """\
# by hand
*filter
:INPUT DROP [0:0]
# the office
[1:60] -A INPUT -s 192.0.2.1 -j ACCEPT
-A INPUT -p tcp -m comment --comment "conntrim: web" -j ACCEPT
-A INPUT -j DROP
-A INPUT -p udp -m comment --comment "conntrim: last" -j ACCEPT

COMMIT
# end
*raw
:PREROUTING ACCEPT [0:0]
:CONNTRIM-PREROUTING - [0:0]
-A PREROUTING -m comment --comment "conntrim: untrack" -j CONNTRIM-PREROUTING
-A CONNTRIM-PREROUTING -p tcp --dport 80 -j CT --notrack
COMMIT
"""


def test_rules_stand_behind_as_many_as_in_the_kernel() -> None:
    """Each goes before the rule that it stands before; a table that the file lacks is added; comments stay."""
    assert WRITTEN == with_ours_xt(SAVED, ours_xt("x", LISTED, CLAIM))


def test_written_twice_is_written_once() -> None:
    """What was ours in the file before goes first."""
    assert WRITTEN == with_ours_xt(WRITTEN, ours_xt("x", LISTED, CLAIM))


def test_a_part_of_a_rule_set_gets_no_tables() -> None:
    """ufw's files are loaded over its chains: only what belongs into chains of the file is put there."""
    assert WRITTEN.partition("*raw")[0] == with_ours_xt(SAVED, ours_xt("x", LISTED, CLAIM), whole=False)


def test_a_chain_with_too_few_rules_is_refused() -> None:
    """A file with fewer rules than the kernel has before ours cannot hold them."""
    with pytest.raises(NoPlaceError, match="INPUT has 0 rules there, not 1 or more"):
        with_ours_xt("*filter\n:INPUT DROP [0:0]\nCOMMIT\n", ours_xt("x", LISTED, CLAIM))


NFT = """\
#!/usr/sbin/nft -f
flush ruleset
define office = 192.0.2.1   # { not a block
table inet filter {
  set a { type ipv4_addr; elements = { 192.0.2.7,
     192.0.2.8 } }
  chain input {
    type filter hook input priority filter; policy drop;
    ip saddr $office accept; iif "lo" accept # two; {
    tcp dport { 22,
       23 } accept

    reject
  }
  chain output { type filter hook output priority filter; }
}
"""
NFT_LISTED = """\
table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ip saddr 192.0.2.1 accept
		iif "lo" accept
		ct state untracked accept comment "conntrim: a"
		tcp dport { 22, 23 } accept
		reject
		ct state untracked accept comment "conntrim: b"
	}
}
table inet conntrim {
	chain prerouting {
		type filter hook prerouting priority raw; policy accept;
		jump untrack_prerouting comment "conntrim: untrack"
	}
}
"""


def test_nft_rules_stand_on_lines_of_their_own() -> None:
    """Sets, comments, strings and rules over several lines are no obstacle; the indentation is the neighbour's."""
    written = with_ours_nft(NFT, ours_nft(NFT_LISTED, CLAIM), own_table(NFT_LISTED))
    a, b = ('    ct state untracked accept comment "conntrim: ' + name + '"\n' for name in "ab")
    expected = NFT.replace("    tcp dport { 22", a + "    tcp dport { 22").replace("    reject\n", "    reject\n" + b)
    mark = "# Written by conntrim; conntrim rollback takes it out.\n"
    assert written == f"{expected}\n{mark}{own_table(NFT_LISTED)}"
    assert with_ours_nft(written, ours_nft(NFT_LISTED, CLAIM), own_table(NFT_LISTED)) == written


def test_what_nft_lists_and_what_is_written_read_the_same() -> None:
    """Statements are told apart as nft does it."""
    rules = ("ip saddr $office accept", 'iif "lo" accept', "tcp dport { 22, 23 } accept", "reject")
    assert chains_nft(NFT) == {"table inet filter chain input": rules, "table inet filter chain output": ()}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (NFT.replace("chain input", "chain entry"), "there is no table inet filter chain input block$"),
        (
            'include "/etc/nftables.d/*.nft"\n',
            "no table inet filter chain input block, and the file includes others: put",
        ),
        (NFT.replace("    reject\n", ""), "chain input has 3 rules there, not 4 or more"),
        (
            NFT.replace("accept # two; {\n    tcp", "accept; tcp"),
            "no line of its own begins with 'tcp dport { 22, 23 }",
        ),
    ],
)
def test_an_nft_file_without_the_place_is_refused(text: str, why: str) -> None:
    """No guess where the chain, or a line of its own, is missing."""
    with pytest.raises(NoPlaceError, match=why):
        with_ours_nft(text, ours_nft(NFT_LISTED, CLAIM), "")


def test_what_packets_put_into_sets_is_not_written() -> None:
    """Clients in a limit's sets are of the moment; elements of a set that rules do not fill stay."""
    table = (
        "table inet conntrim {\n"
        "\tset open {\n\t\ttype ipv4_addr\n\t\tsize 9\n\t\tflags dynamic\n"
        "\t\telements = { 10.9.0.2 ct count over 30,\n\t\t\t     10.9.0.3 ct count over 30 }\n\t}\n\n"
        "\tset kept {\n\t\ttype ipv4_addr\n\t\telements = { 192.0.2.1 }\n\t}\n\n"
        "\tchain c {\n\t\tip saddr @kept accept\n\t}\n}\n"
    )
    met = "\t\telements = { 10.9.0.2 ct count over 30,\n\t\t\t     10.9.0.3 ct count over 30 }\n"
    assert met in table
    assert own_file(table).endswith(table.replace(met, ""))
