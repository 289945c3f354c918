"""Listings of rule sets whose statements, sets and hooks have a meaning of their own, and what single packets meet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from conntrim.core.model.address import format_address
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.outcome import Outcome
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.parse.nft.devices import lacks_devices, with_devices
from conntrim.core.parse.nft.document import read_nft
from tests.unit.core.netfilter.made import packet

HERE = Path(__file__).parent / "meaning"


def read(name: str) -> Ruleset:
    """One of the listings."""
    return read_nft((HERE / f"{name}.json").read_text(encoding="utf-8"), name)


def met(name: str, sent: Packet) -> Outcome:
    """What a packet meets there."""
    return simulate(read(name), sent, kernel=Kernel(active=True))


def over(
    dport: int,
    protocol: str = "tcp",
    *,
    src: str = "192.0.2.9",
    dst: str = "192.0.2.1",
    iif: str = "wan0",
    oif: str = "",
) -> Packet:
    """A packet from port 40000 to this one."""
    flags = 2 if protocol == "tcp" else None
    return packet(protocol, sport=40000, dport=dport, flags=flags, src=src, dst=dst, iif=iif, oif=oif)


V6 = {"src": "2001:db8::9", "dst": "2001:db8::1"}

CASES = {
    "a named map gives address and port": ("mailgate", over(587, oif="lan0"), "accept"),
    "its other element": ("mailgate", over(993, oif="lan0"), "drop"),
    "a port that the map lacks goes on": ("mailgate", over(25, oif="lan0"), "drop"),
    "a map that stands in the rule": ("mailgate", over(25, iif="dmz0", oif="lan0"), "accept"),
    "an element that times out": ("quarantine", over(2022, src="203.0.113.40"), "drop"),
    "no element": ("quarantine", over(2022, src="203.0.113.41"), "accept"),
    "what this packet has added is found": ("quarantine", over(7001), "accept"),
    "a statement for IPv4": ("v6class", over(80, "udp"), "accept"),
    "ends the rule for IPv6": ("v6class", over(80, "udp", **V6), "drop"),
    "a statement for IPv6": ("v6class", over(5060, "udp", **V6), "accept"),
    "a map by port that TCP has": ("v6class", over(8443, **V6), "accept"),
    "which UDP does not": ("v6class", over(8443, "udp", **V6), "drop"),
    "ingress drops": ("edge", over(1900, "udp", src="203.0.113.5"), "drop"),
    "on its device only": ("edge", over(1900, "udp", src="203.0.113.5", iif="dmz0"), "accept"),
    "a mark from ingress": ("edge", over(9100), "drop"),
    "no mark from elsewhere": ("edge", over(9100, iif="dmz0"), "accept"),
    "a whole packet": ("splinters", over(53, "udp"), "accept"),
    "a set of protocols and ports": ("bastions", over(2200), "accept"),
    "its other protocol": ("bastions", over(1194, "udp"), "accept"),
    "the port of another protocol": ("bastions", over(1194), "drop"),
    "an element of a map": ("bastions", over(4500, "udp"), "drop"),
    "a catch-all element": ("bastions", over(4501, "udp"), "accept"),
    "every value of numgen": ("bastions", packet("icmp", icmp=8 << 8, iif="wan0"), "drop"),
    "a port rewritten": ("rewriter", over(8081), "accept"),
    "a port that is not": ("rewriter", over(8082), "drop"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_a_packet_meets(case: str) -> None:
    """Each of these was measured with packets of this kind (`conntrim lab truth` makes rules of all of these kinds)."""
    name, sent, verdict = CASES[case]
    outcome = met(name, sent)
    assert (verdict, ()) == (outcome.verdict, outcome.undecided)


def test_where_a_map_sends_it() -> None:
    """The element's own address and port are the packet's."""
    left = met("mailgate", over(587, oif="lan0")).left
    assert ("198.51.100.25", 2587) == (format_address(left.dst), left.dport)


def test_a_set_is_taken_as_listed_and_said_so() -> None:
    """Whoever reads the answer must know that it is of now."""
    assert ("held",) == met("quarantine", over(2022)).listed[:1]


def test_fragments_are_seen_in_front_of_reassembly() -> None:
    """At -420 the rule untracks a later fragment, which nobody puts together then: at -310 it is one still (K117)."""
    outcome = met("splinters", replace(over(53, "udp"), fragment=True))
    assert ("drop", "untracked") == (outcome.verdict, str(outcome.state and outcome.state.name.lower()))


def test_without_the_device_nobody_knows() -> None:
    """nft 1.0.6 leaves an ingress chain's device out of its JSON (K137): it may be this packet's."""
    text = (HERE / "edge.json").read_text(encoding="utf-8").replace(', "dev": ["wan0"]', "")
    assert lacks_devices(text)
    sent = over(1900, "udp", src="203.0.113.5")
    outcome = simulate(read_nft(text, "edge"), sent, kernel=Kernel(active=True))
    assert ("not decided", 1) == (outcome.verdict, len(outcome.undecided))


def test_nft_text_tells_the_devices() -> None:
    """What `nft list chains` prints, one device or several, is put into the JSON."""
    text = (HERE / "edge.json").read_text(encoding="utf-8")
    bare = text.replace(', "dev": ["wan0"]', "")
    chains = 'table netdev door {\n\tchain step {\n\t\ttype filter hook ingress device "wan0" priority -450; policy'
    assert text == with_devices(bare, chains)
    several = chains.replace('device "wan0"', 'devices = { wan0, "dmz0" }')
    assert '"dev": ["wan0", "dmz0"]' in with_devices(bare, several)
