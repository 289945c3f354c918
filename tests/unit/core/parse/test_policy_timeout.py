"""`[[timeout]]` of a policy: what it means, what mistakes are answered with, and that it is written as it is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conntrim.core.emit.policy import emit_policy
from conntrim.core.model.address import Family, parse_prefix
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import TIMED, Policy, ServiceTimeout
from conntrim.core.model.service import Direction
from conntrim.core.parse.policy import parse_policy
from tests.unit.core.parse.refusals import refusal

HEAD = '[[timeout]]\ndirection = "forwarded"\nprotocol = "udp"\nports = [53]\n'
DNS = HEAD + "seconds = { unreplied = 15, replied = 30 }\n"
LAN = Intervals.of(parse_prefix("10.9.0.0/24"))


def test_the_example_of_the_manual() -> None:
    """Both states, both families, no ends."""
    (found,) = parse_policy(DNS.encode(), "p").service_timeouts
    assert str(found) == "forwarded udp/53: unreplied 15 s, replied 30 s"
    assert (found.families(), found.place.line) == ((Family.IPV4, Family.IPV6), 1)


def test_servers_may_be_as_many_as_one_likes() -> None:
    """What is wide for untracking is none here: a time-out lets nobody in, and everybody's servers may be meant."""
    for wide in ("10.0.0.0/8", "0.0.0.0/0", "2000::/3"):
        (found,) = parse_policy((DNS + f'to = ["{wide}"]\n').encode(), "p").service_timeouts
        assert found.servers == Intervals.of(parse_prefix(wide))


REFUSED = {
    "no seconds": (HEAD, 1, "seconds is missing in this [[timeout]]"),
    "nothing named": (HEAD + "seconds = {}\n", 5, "seconds is empty"),
    "a state of TCP": (HEAD + "seconds = { established = 5 }\n", 5, "unknown key 'established'"),
    "no time at all": (HEAD + "seconds = { replied = 0 }\n", 5, "replied = 0"),
    "no table": (HEAD + "seconds = 5\n", 5, "seconds must be a table"),
    "sctp": (DNS.replace("udp", "sctp"), 3, "protocol = 'sctp'"),
    "loopback": (DNS.replace("forwarded", "loopback"), 2, "direction = 'loopback'"),
    "clients of outbound": (DNS.replace("forwarded", "outbound") + 'from = ["10.9.0.1"]\n', 6, "from in an outbound"),
    "ends of two families": (DNS + 'from = ["10.9.0.1"]\nto = ["2001:db8::1"]\n', 1, "no family has addresses at both"),
    "twice": (DNS + "\n" + DNS, 7, "overlaps with p:1"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_refused_with_its_line(name: str) -> None:
    """Each names the line that it stands in."""
    text, line, said = REFUSED[name]
    found = refusal(text)
    assert (found.line, said in found.message) == (line, True), found.message


def _service(protocol: int, port: int, seconds: list[int], accepted: bool, clients: Intervals) -> ServiceTimeout:
    told = dict(zip(TIMED[protocol], seconds, strict=False))
    return ServiceTimeout(Direction.FORWARDED, protocol, Intervals.of(port), told, clients, LAN, accepted)


@given(st.builds(
    _service, st.sampled_from([6, 17]), st.integers(1, 65_535), st.lists(st.integers(1, 1 << 30), min_size=1),
    st.booleans(), st.sampled_from([Intervals(), LAN]),
))  # fmt: skip
def test_what_is_written_is_read_as_it_was(timeout: ServiceTimeout) -> None:
    """parse(emit(policy)) is the policy."""
    policy = Policy(service_timeouts=(timeout,))
    assert policy == parse_policy(emit_policy(policy).encode(), "p").unplaced()
