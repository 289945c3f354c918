"""Rules left out because a question cannot meet them are rules that do not matter to it."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conntrim.core.model.address import Family
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Field
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.walk import walk
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.narrow import Sieve, fields_of, mirrored
from tests.property.rulesets import WAYS, packets, saves


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(saves(), st.sampled_from(sorted(WAYS)), st.data())
def test_a_packet_of_the_box_fares_the_same_without_the_other_rules(
    text: str, direction: Direction, data: st.DataObject
) -> None:
    """A random rule set and what a sieve leaves of it for one packet's box give that packet the same verdict."""
    ruleset = read(text, "random")
    packet = data.draw(packets(direction))
    fields = [(Field.SRC, Intervals.of(packet.src)), (Field.PROTOCOL, Intervals.of(packet.protocol))]
    if packet.dport is not None:
        fields.append((Field.DPORT, Intervals.of(packet.dport)))
    few, _ = Sieve((ruleset, ruleset), Family.IPV4).arranged([fields_of(fields, Family.IPV4)])
    assert walk(ruleset, packet).verdict == walk(few, packet).verdict


def test_a_sieve_leaves_only_what_the_box_meets() -> None:
    """Of three rules one is about the port that is asked for; the mirrored box asks for it as the source port."""
    rules = "".join(
        f"-A INPUT -p tcp -m tcp --{way}port {port} -j DROP\n" for way, port in (("d", 22), ("d", 80), ("s", 80))
    )
    ruleset = read(f"*filter\n:INPUT ACCEPT [0:0]\n{rules}COMMIT\n", "rules")
    box = fields_of([(Field.DPORT, Intervals.of(80)), (Field.SPORT, Intervals.of((1024, 65535)))], Family.IPV4)
    assert box is not None
    sieve = Sieve((ruleset, ruleset), Family.IPV4)
    texts = []
    for asked in (box, mirrored(box)):
        groups = sieve.arranged([asked])[0].groups.values()
        texts.append([r.text for g in groups for s in g for t in s for _, c in t.chains for r in c.rules])
    assert [["-A INPUT -p tcp -m tcp --dport 80 -j DROP"], ["-A INPUT -p tcp -m tcp --sport 80 -j DROP"]] == texts
