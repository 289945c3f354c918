"""What explain says of a first attempt, where rules count: the kernel says the same of a client that is new to it."""

from __future__ import annotations

from itertools import count

import pytest

from conntrim.core.model.packet import Packet
from conntrim.core.netfilter.dialogue import Talk, dialogue
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.netfilter.newcomer import Newcomer
from conntrim.core.netfilter.outcome import Fate
from conntrim.lab.dialogue import parse_packet, shots
from conntrim.lab.oracle import story
from tests.lab.oracles import KernelCheck, seen

NEW = "-p tcp -m tcp --dport 4022 -m conntrack --ctstate NEW"
TALK = "-p tcp -m tcp --dport 4022"

RULES: dict[str, tuple[list[str], bool]] = {
    "a list that counts attempts": (
        [f"{NEW} -m recent --set --name k1", f"{NEW} -m recent --update --seconds 60 --hitcount 4 --name k1 -j DROP"],
        True,
    ),
    "a list that holds the client at once": (
        [f"{NEW} -m recent --set --name k2", f"{NEW} -m recent --rcheck --name k2 -j DROP"],
        False,
    ),
    "a list that its own packets fill": (
        [f"{TALK} -m recent --set --name k3", f"{TALK} -m recent --rcheck --hitcount 2 --name k3 -j DROP"],
        False,
    ),
    "a door that opens by knocking": ([f"{NEW} -m recent --rcheck --name k4 -j ACCEPT", f"{NEW} -j DROP"], True),
    "a rate of new connections": ([f"{NEW} -m limit --limit 3/min --limit-burst 2 -j ACCEPT", f"{NEW} -j DROP"], True),
    "a rate that the connection itself uses up": (
        [f"{TALK} -m limit --limit 1/hour --limit-burst 2 -j ACCEPT", f"{TALK} -j DROP"],
        False,
    ),
    "a rate for each client": (
        [f"{NEW} -m hashlimit --hashlimit-above 4/min --hashlimit-mode srcip --hashlimit-name h1 -j DROP"],
        True,
    ),
    "connections for each client": ([f"{NEW} -m connlimit --connlimit-above 2 -j REJECT"], True),
}
"""Rules of iptables, and whether the whole connection is decided."""

PORTS = count(41_000)


@pytest.mark.parametrize("name", RULES)
def test_a_first_attempt_ends_as_explain_says(checked: KernelCheck, name: str) -> None:
    """What is decided is what the kernel does; where the client's own packets are counted, it is not decided."""
    rules, whole = RULES[name]
    checked.load("*filter\n" + "".join(f"-A INPUT {rule}\n" for rule in rules) + "COMMIT\n")
    opener = parse_packet(f"eth0> tcp 192.0.2.9 {next(PORTS)} > 192.0.2.1 4022 S")
    said, asked = Newcomer.of(checked.ruleset).walk(arrange(checked.ruleset), _talk(opener), checked.kernel)
    sure = [outcome for outcome in said if outcome.verdict is not Fate.NOT_DECIDED]
    checked.oracle.forget()
    measured = [story(trace) for trace in checked.oracle.fire(shots([tuple(o.packet for o in sure)]))]
    assert measured == [seen(outcome) for outcome in sure]
    assert (whole, True) == (len(sure) == len(said), bool(asked) or not whole)


def _talk(opener: Packet) -> tuple[Packet, ...]:
    return dialogue(Talk.TCP, opener)
