"""`[[limit]]` of a policy: what it means, what each mistake is answered with, and that it is written as it is read."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conntrim.core.emit.policy import emit_policy
from conntrim.core.model.address import Family, parse_prefix
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import ClientLimit, Policy, Refusal
from conntrim.core.model.service import Direction
from conntrim.core.parse.policy import parse_policy
from tests.unit.core.parse.refusals import refusal

LIMIT = '[[limit]]\ndirection = "forwarded"\n'
FIVE = LIMIT + "connections = 5\n"
LAN = Intervals.of(parse_prefix("10.9.0.0/24"))


def test_a_limit_for_everybody_and_one_for_a_service() -> None:
    """What is left out means all of it: traffic, clients, both families; a prefix is of the family that it fits."""
    text = LIMIT + "connections = 2000\n\n" + LIMIT
    text += 'protocol = "udp"\nports = [53]\nfrom = ["10.9.0.0/24"]\nper = "24"\nper_second = 50\naction = "drop"\n'
    one, other = parse_policy(text.encode(), "p").limits
    assert one == ClientLimit(Direction.FORWARDED, None, connections=2000, place=Place("p", 1))
    assert one.families() == (Family.IPV4, Family.IPV6)
    ports = Intervals.of(53)
    assert other == ClientLimit(Direction.FORWARDED, 17, ports, 24, None, 50, Refusal.DROP, LAN, Place("p", 5))
    assert other.families() == (Family.IPV4,)
    assert [str(one), str(other)] == [
        "forwarded traffic to 2,000 open connections for each IPv4 address and IPv6 /64",
        "forwarded udp/53 from 10.9.0.0/24 to 50 new ones a second for each /24",
    ]


REFUSED = {
    "no amount": (LIMIT, 1, "limits nothing"),
    "no direction": ("[[limit]]\nconnections = 5\n", 1, "direction is missing in this [[limit]]"),
    "outbound": ('[[limit]]\ndirection = "outbound"\nconnections = 5\n', 2, "direction = 'outbound'"),
    "unknown key": (FIVE + "per_minute = 5\n", 4, "unknown key 'per_minute'"),
    "none at all": (LIMIT + "connections = 0\n", 3, "connections = 0"),
    "too fast to tell": (LIMIT + "per_second = 10001\n", 3, "per_second = 10001"),
    "a truth value": (LIMIT + "connections = true\n", 3, "connections = True"),
    "ports of nothing": (FIVE + "ports = [53]\n", 4, "ports without a protocol"),
    "icmp": (FIVE + 'protocol = "icmp"\n', 4, "icmp has no ports"),
    "a word for a prefix": (FIVE + 'per = "office"\n', 4, "per = 'office'"),
    "no such prefix": (FIVE + 'per = "129"\n', 4, "per = '129'"),
    "prefix of another family": (FIVE + 'per = "64"\nfamily = "ipv4"\n', 4, "has 64 bits"),
    "clients of another family": (FIVE + 'from = ["10.0.0.0/8"]\nfamily = "ipv6"\n', 4, "no address in from"),
    "unknown action": (FIVE + 'action = "tarpit"\n', 4, "action = 'tarpit'"),
    "one bracket": ("[limit]\nconnections = 5\n", 1, "limit must be a list of tables"),
    "twice": (FIVE + "\n" + LIMIT + "per_second = 5\n", 5, "is limited by p:1 too"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_refused_with_its_line(name: str) -> None:
    """Each names the line that it stands in."""
    text, line, said = REFUSED[name]
    found = refusal(text)
    assert (found.line, said in found.message) == (line, True), found.message


amounts = st.tuples(st.none() | st.integers(1, 1 << 20), st.none() | st.integers(1, 10_000))
ports = st.just(Intervals()) | st.integers(1, 65_535).map(Intervals.of)
traffic = st.just((None, Intervals())) | st.tuples(st.sampled_from([6, 17, 132]), ports)


limits = st.builds(
    lambda limit, kind, most: replace(
        limit, protocol=kind[0], ports=kind[1], connections=most[0], per_second=most[1], place=Place("policy")
    ),
    st.builds(
        ClientLimit,
        direction=st.sampled_from([Direction.INBOUND, Direction.FORWARDED]),
        protocol=st.none(),
        prefix=st.none() | st.integers(1, 32),
        action=st.sampled_from(list(Refusal)),
        clients=st.sampled_from([Intervals(), LAN]),
        family=st.sampled_from([None, Family.IPV4]),
    ),
    traffic,
    amounts.filter(any),
)


@given(limits)
def test_what_is_written_is_read_as_it_was(limit: ClientLimit) -> None:
    """parse(emit(policy)) is the policy, whatever its limit."""
    policy = Policy(limits=(limit,))
    assert policy == parse_policy(emit_policy(policy, ("a note",)).encode(), "p").unplaced()
