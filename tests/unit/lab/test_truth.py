"""Whose an entry is that the kernel kept."""

from __future__ import annotations

import pytest

from conntrim.core.model.errors import HostError
from conntrim.core.model.packet import Packet
from conntrim.core.netfilter.memory import Tuple
from conntrim.lab.entries import Kept
from conntrim.lab.expect import Believed
from conntrim.lab.truth import by_dialogue
from tests.unit.core.netfilter.made import packet

ASKED = packet(sport=49817, dport=53)
KEPT = Kept(Tuple(6, ASKED.src, ASKED.dst, 49817, 8080), Tuple(6, ASKED.dst, ASKED.src, 8080, 49817))


def believed(packet: Packet, doubt: str) -> Believed:
    """What is believed of a dialogue of one packet."""
    return Believed((packet,), (), None if doubt else (), doubt)


def test_an_entry_under_a_rewritten_port_is_the_doubted_dialogues_own() -> None:
    """Behind a doubt nothing is said of the addresses of later packets: one endpoint tells whose the entry is."""
    assert [(KEPT,)] == by_dialogue([believed(ASKED, "the number of a reset")], [KEPT])


def test_an_entry_that_nobody_made_is_no_doubted_dialogues() -> None:
    """Without a doubt every tuple is known: another one is of packets that are not ours."""
    with pytest.raises(HostError, match="no packet of ours"):
        by_dialogue([believed(ASKED, "")], [KEPT])
