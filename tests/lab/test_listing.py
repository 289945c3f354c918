"""This kernel's rule sets, read back in a namespace."""

from __future__ import annotations

import json
import socket

from conntrim.core.model.fields import Field
from conntrim.core.model.ruleset import Dialect, End, In, Notrack, Ruleset, TableFamily, Verdict
from conntrim.host.listing import KernelListing
from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost

RULES = """\
*raw
-A PREROUTING -p tcp -m tcp --dport 80 -j CT --notrack
COMMIT
*filter
:web - [0:0]
-A INPUT -m state --state UNTRACKED -j web
-A web -m recent --name x --set -j ACCEPT
COMMIT
"""
NFT = """\
table inet own {
	chain input {
		type filter hook input priority 5; policy drop;
		tcp dport { 22, 80 } accept
	}
}
"""


def tables(ruleset: Ruleset) -> set[tuple[Dialect, TableFamily, str]]:
    """The tables by what names them."""
    return {(t.dialect, t.family, t.name) for t in ruleset.tables}


def test_everything_at_once(host: LabHost) -> None:
    """Both iptables back ends, both families and nft are read together, each table once (K36, K37)."""
    host.run("iptables-nft-restore", text=RULES)
    host.run("iptables-legacy-restore", text=RULES)
    host.run("ip6tables-nft-restore", text="*mangle\n-A INPUT -j ACCEPT\nCOMMIT\n")
    host.run("nft", "-f", "-", text=NFT)
    listing = KernelListing().read(host.name)
    expected = {
        (Dialect.IPTABLES_NFT, TableFamily.IP, "raw"),
        (Dialect.IPTABLES_NFT, TableFamily.IP, "filter"),
        (Dialect.IPTABLES_LEGACY, TableFamily.IP, "raw"),
        (Dialect.IPTABLES_LEGACY, TableFamily.IP, "filter"),
        (Dialect.IPTABLES_NFT, TableFamily.IP6, "mangle"),
        (Dialect.NFTABLES, TableFamily.INET, "own"),
    }
    assert expected == tables(listing.ruleset)
    raw = next(t for t in listing.ruleset.tables if t.name == "raw")
    chain = raw.chain("PREROUTING")
    assert chain is not None
    assert (Notrack(),) == chain.rules[0].statements


def test_the_digest_stays_until_a_rule_changes(host: LabHost) -> None:
    """Packets counted leave the digest alone, one more rule does not."""
    # No rule here uses conntrack: a full table of another test would drop the packet (K25).
    host.run("iptables-nft", "-A", "OUTPUT", "-j", "ACCEPT")
    before = KernelListing().read(host.name).digest
    with entered(host.name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", 9))
    same = KernelListing().read(host.name).digest
    host.run("iptables-nft", "-A", "OUTPUT", "-j", "DROP")
    assert (before == same, before == KernelListing().read(host.name).digest) == (True, False)


def test_a_native_table_that_iptables_misprints(host: LabHost) -> None:
    """`table ip filter` made by nft with a set: iptables-nft-save loses the ports, nft does not."""
    text = "table ip filter {\nchain INPUT {\ntype filter hook input priority 0;\ntcp dport { 22, 23 } accept\n}\n}\n"
    host.run("nft", "-f", "-", text=text)
    rule = KernelListing().read(host.name).ruleset.tables[0].chains[0].rules[0]
    ports = [match.values.ranges for match in rule.matches if isinstance(match, In) and match.field is Field.DPORT]
    assert ([((22, 23),)], (End(Verdict.ACCEPT),)) == (ports, rule.statements)


def test_an_empty_namespace(host: LabHost) -> None:
    """A fresh namespace has no tables, and looking at it makes none."""
    assert ((), ()) == (KernelListing().read(host.name).ruleset.tables, KernelListing().read(host.name).ruleset.tables)


FILLED = """table inet seen {
	set plain { type ipv4_addr; }
	set idle { type ipv4_addr; }
	map marks { type ipv4_addr : mark; flags dynamic; }
	chain input {
		type filter hook input priority 5
		add @plain { ip saddr }
		update @marks { ip saddr : 0x1 }
	}
}
"""


def test_k100_to_k102_what_fills_a_set_is_told_by_its_rules(host: LabHost) -> None:
    """The text has the flag `dynamic`, of a set declared without it too; JSON has not, and a write to a map as text."""
    host.run("nft", "-f", "-", text=FILLED)
    said = host.run("nft", "list", "ruleset").split("set idle")
    assert ("flags dynamic" in said[0], said[1].count("flags dynamic")) == (True, 1)
    listed = json.loads(host.run("nft", "-j", "list", "ruleset"))["nftables"]
    assert not any("dynamic" in body.get("flags", ()) for item in listed for body in item.values())
    (_, update) = [item["rule"]["expr"] for item in listed if "rule" in item]
    assert update == ["update @marks { ip saddr : 0x00000001 }"]
    found = {each.name: each.dynamic for t in KernelListing().read(host.name).ruleset.tables for each in t.sets}
    assert found == {"plain": True, "idle": False}
