"""The verb explain: one packet's or connection's way through a rule set, with the reasons."""

from __future__ import annotations

from conntrim.app.ports.rulesets import Rulesets
from conntrim.core.model.explanation import Explanation
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.netfilter.dialogue import TURNS, Talk, dialogue
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.newcomer import Newcomer, proxied
from conntrim.core.netfilter.trace_text import name_of, tell

TALKS: dict[int, Talk] = {
    Protocol.TCP: Talk.TCP,
    Protocol.UDP: Talk.UDP,
    Protocol.ICMP: Talk.ECHO,
    Protocol.ICMPV6: Talk.ECHO,
}
"""Which dialogue a protocol's connection is."""


def explain(source: Rulesets, packet: Packet, kernel: Kernel, *, connection: bool) -> Explanation:
    """Walk the packet, or the whole connection that it opens, up to the first packet that is lost."""
    ruleset = source.read()
    arranged = arrange(ruleset)
    talk = TALKS.get(packet.protocol) if connection else None
    packets = dialogue(talk, packet) if talk else (packet,)
    names = [turn[0] for turn in TURNS[talk]] if talk else [name_of(packet)]
    outcomes, assumed = Newcomer.of(ruleset).walk(arranged, packets, kernel)
    if talk is Talk.TCP and proxied(outcomes):
        names[1:3] = reversed(names[1:3])
    listed = dict.fromkeys(name for outcome in outcomes for name in outcome.listed)
    as_listed = (f"the set {name} is taken as listed now: its elements come and go" for name in listed)
    return tell(arranged, outcomes, names, (*ruleset.unread, *ruleset.remarks, *assumed, *as_listed))
