"""Where nat statements of both dialects point, and what that makes of an entry's packets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.core.emit.nft import statement_text
from conntrim.core.emit.xt_target import target_words
from conntrim.core.model.address import Family, format_address, parse_address, parse_prefix
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nat import Nat, NatKind
from conntrim.core.model.nft_words import Json
from conntrim.core.model.ruleset import Statement, TableFamily
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.memory import Entry, tuple_of
from conntrim.core.netfilter.nat import EVERY_PORT, rewritten, spans, target_of, translated
from conntrim.core.parse.nft.statements import statement
from conntrim.core.parse.xt.rule import body
from tests.unit.core.netfilter.made import US, packet

Told = tuple[str | None, int | None, bool]

ROWS: dict[str, Told] = {
    "DNAT --to-destination 10.0.0.1:8080": ("10.0.0.1", 8080, True),
    "DNAT --to-destination 10.0.0.1": ("10.0.0.1", None, True),
    "DNAT --to-destination :8080": (None, 8080, True),
    "DNAT --to-destination 10.0.0.1-10.0.0.9:80-90": ("10.0.0.1", 80, False),
    "DNAT --to-destination 10.0.0.1:8080 --persistent": ("10.0.0.1", 8080, True),
    "DNAT --to-destination [2001:db8::5]:83": ("2001:db8::5", 83, True),
    "DNAT --to-destination [2001:db8::5-2001:db8::6]:83": ("2001:db8::5", 83, False),
    "DNAT --to-destination 2001:db8::5": ("2001:db8::5", None, True),
    "DNAT --to-destination 2001:db8::5-2001:db8::9": ("2001:db8::5", None, False),
    "SNAT --to-source 192.0.2.1-192.0.2.9": ("192.0.2.1", None, False),
    "REDIRECT --to-ports 8080": (US, 8080, True),
    "DNAT --to-destination 10.0.0.1:80-90/8000": (None, None, False),
    "DNAT --to-destination 10.0.0.1 --to-destination 10.0.0.2": (None, None, False),
}  # fmt: skip
"""Targets as iptables lists them: address, port, and whether the kernel has no choice."""

NFT_ROWS: tuple[tuple[object, Told], ...] = (
    ({"dnat": {"family": "ip", "addr": "10.0.0.1", "port": 8080}}, ("10.0.0.1", 8080, True)),
    ({"dnat": {"family": "ip6", "addr": "2001:db8::5", "port": 83}}, ("2001:db8::5", 83, True)),
    ({"snat": {"family": "ip", "addr": "192.0.2.1"}}, ("192.0.2.1", None, True)),
    ({"snat": {"addr": {"range": ["192.0.2.1", "192.0.2.9"]}}}, ("192.0.2.1", None, False)),
    ({"snat": {"family": "ip", "addr": {"prefix": {"addr": "192.0.2.0", "len": 24}}}}, ("192.0.2.0", None, False)),
    ({"redirect": {"port": 8081}}, (US, 8081, True)),
    ({"redirect": {"port": {"range": [8081, 8090]}, "flags": "random"}}, (US, 8081, True)),
    ({"redirect": None}, (US, None, True)),
    ({"dnat": {"addr": {"map": {"key": {"payload": {"protocol": "tcp", "field": "dport"}},
                                "data": {"set": [[80, "10.0.0.1"]]}}}}}, (None, None, False)),
)  # fmt: skip
"""The same as nft lists them."""


def _told(nat: Statement) -> Told:
    assert isinstance(nat, Nat)
    target = target_of(nat, packet(), Kernel(Intervals.of(packet().dst)), Hook.PREROUTING)
    return None if target.address is None else format_address(target.address), target.port, target.certain


@pytest.mark.parametrize("written", ROWS)
def test_targets_as_iptables_writes_them(written: str) -> None:
    """Every form of a target is read, of a range the first, and then it is not certain; it is said again as it was."""
    v6 = "2001" in written
    (nat,) = body(["-j", *written.split()], v6, ()).statements
    assert ROWS[written] == _told(nat)
    assert [f"-j {written}"] == list(target_words((nat,), v6))


@pytest.mark.parametrize(("listed", "expected"), NFT_ROWS, ids=[str(row[0])[:60] for row in NFT_ROWS])
def test_targets_as_nft_lists_them(listed: Json, expected: Told) -> None:
    """Every form of a target is read, of a range the first, and then it is not certain."""
    assert expected == _told(statement(listed, TableFamily.INET))


WORDS = {
    "DNAT --to-destination 10.0.0.1:8080": "dnat ip to 10.0.0.1:8080",
    "DNAT --to-destination [2001:db8::5]:83": "dnat ip6 to [2001:db8::5]:83",
    "DNAT --to-destination [2001:db8::5-2001:db8::6]:8-9": "dnat ip6 to [2001:db8::5]-[2001:db8::6]:8-9",
    "SNAT --to-source 192.0.2.1-192.0.2.9 --random --persistent": "snat ip to 192.0.2.1-192.0.2.9 random,persistent",
    "MASQUERADE --random-fully": "masquerade fully-random",
    "REDIRECT --to-ports 8080-8090 --random": "redirect to :8080-8090 random",
    "REDIRECT": "redirect",
}


@pytest.mark.parametrize("written", WORDS)
def test_iptables_translations_are_said_in_nft_words(written: str) -> None:
    """A translation is one value whichever dialect named it: read from iptables' words it is said in nft's."""
    (nat,) = body(["-j", *written.split()], "2001" in written, ()).statements
    assert WORDS[written] == statement_text(nat, TableFamily.INET)


def test_a_map_that_gives_addresses_keeps_the_port() -> None:
    """A map to addresses leaves the port as far as it can; one to addresses and ports may give any."""
    key = {"payload": {"protocol": "ip", "field": "saddr"}}
    maps = [{"key": key, "data": {"set": [["1.1.1.1", d]]}} for d in ("10.0.0.1", {"concat": ["10.0.0.1", 80]})]
    found = [statement({"dnat": {"addr": {"map": each}}}, TableFamily.IP) for each in maps]
    assert [(None, None), (None, EVERY_PORT)] == [spans(nat) for nat in found if isinstance(nat, Nat)]


def test_netmap_names_every_address_it_may_give() -> None:
    """`NETMAP --to 198.51.100.0/24` gives one of 256 addresses and keeps the port."""
    (nat,) = body(["-j", "NETMAP", "--to", "198.51.100.0/24"], False, ()).statements
    assert isinstance(nat, Nat)
    assert (Intervals.of(parse_prefix("198.51.100.0/24")), None) == spans(nat)


def test_an_entry_rewrites_both_directions() -> None:
    """DNAT: the original direction gets a new destination, the answer its old source back."""
    client = packet(sport=4000, dport=80)
    original = tuple_of(client)
    reply = original.inverted()
    assert reply is not None
    there = parse_address("10.0.0.1")
    target = target_of(Nat(NatKind.DNAT, (there, there), (8080, 8080)), client, Kernel(), Hook.PREROUTING)
    entry = translated(Entry(original, reply), target, Hook.PREROUTING)
    sent = rewritten(client, entry, False, Hook.PREROUTING)
    assert ("10.0.0.1", 8080) == (format_address(sent.dst), sent.dport)
    answer = packet(src="10.0.0.1", sport=8080, dst=format_address(client.src), dport=4000)
    back = rewritten(answer, entry, True, Hook.POSTROUTING)
    assert (US, 80) == (format_address(back.src), back.sport)


def test_what_is_redirected_on_its_way_through_comes_to_an_address_of_the_host() -> None:
    """Nobody told which one is at the interface: ::1 is none, there nothing from outside is taken in."""
    here, there, peer = map(parse_address, ("2001:db8::1", "2001:db8:1::9", "2001:db8:2::9"))
    asked = replace(packet(), family=Family.IPV6, src=peer, dst=there, oif="eth1")
    (nat,) = body(["-j", "REDIRECT"], True, ()).statements
    assert isinstance(nat, Nat)
    assert here == target_of(nat, asked, Kernel(Intervals.of(here)), Hook.PREROUTING).address
