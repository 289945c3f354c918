"""Nat chains that only translate: who may leave them out, and what stands against it."""

import pytest

from conntrim.core.model.address import Family
from conntrim.core.model.ruleset import TableFamily
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.nat_effects import only_translate

NAT = "*nat\n:PREROUTING {} [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:MORE - [0:0]\n{}\nCOMMIT\n"
FILTER = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{}\nCOMMIT\n"
MARKING = "-A PREROUTING -p tcp -j MORE\n-A MORE -j MARK --set-xmark 0x4000/0x4000"

CASES: dict[str, tuple[str, bool]] = {
    "translates": (NAT.format("ACCEPT", "-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080"), True),
    "counts and goes on": (NAT.format("ACCEPT", "-A PREROUTING -p tcp -j MORE\n-A MORE -p tcp -j ACCEPT"), True),
    "stops": (NAT.format("ACCEPT", "-A PREROUTING -p tcp -j MORE\n-A MORE -p tcp -j QUEUE"), False),
    "stops by policy": (NAT.format("DROP", ""), False),
    "marks": (NAT.format("ACCEPT", MARKING), True),
    "marks, and the filter asks": (
        NAT.format("ACCEPT", MARKING) + FILTER.format("-A INPUT -m mark --mark 0x4000/0x4000 -j DROP"), False,
    ),
    "marks, and the filter asks elsewhere": (
        NAT.format("ACCEPT", MARKING) + FILTER.format("-A FORWARD -m mark --mark 0x4000/0x4000 -j DROP"), True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_nat_chains_that_matter_to_others_are_known(name: str) -> None:
    """One that stops packets, or gives a mark that a chain behind it asks for, is no mere translator."""
    text, expected = CASES[name]
    assert expected is only_translate(arrange(read(text, "x", TableFamily.IP)), Family.IPV4, Direction.INBOUND)
