"""The connections of a policy as packets."""

import pytest

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import Policy, Untrack
from conntrim.core.model.service import Direction
from conntrim.core.prove.flows import ANSWERS, REQUESTS, conversation, flows_of
from conntrim.lab.dialogue import format_packet, parse_packet


def told(protocol: int, way: str, flags: int) -> list[str]:
    """The packets of one conversation, each as its end and flags."""
    policy = Policy((Untrack(Direction.INBOUND, protocol, Intervals.of(80)),))
    flow = next(flows_of(policy, Intervals(), (32768, 60999)))
    name = "tcp" if protocol == 6 else "udp"
    request = parse_packet(f"eth0> {name} 192.0.2.9 4000 > 192.0.2.1 80")
    lines = map(format_packet, conversation(flow, request, way, flags))
    return [line.replace("eth0> ", "").replace(">eth0 ", "").removeprefix(f"{name} ") for line in lines]


THERE, BACK = "192.0.2.9 4000 > 192.0.2.1 80", "192.0.2.1 80 > 192.0.2.9 4000"


@pytest.mark.parametrize(
    ("way", "flags", "expected"),
    [
        ("request", REQUESTS[0], ["S"]),
        ("answer", ANSWERS[0], ["S", "SA"]),
        ("request", REQUESTS[1], ["S", "SA", "A"]),
        ("answer", ANSWERS[1], ["S", "SA", "A", "A"]),
        ("request", REQUESTS[3], ["S", "SA", "A", "FA"]),
    ],
)
def test_a_connection_is_opened_before_its_later_packets(way: str, flags: int, expected: list[str]) -> None:
    """The handshake comes first, as far as the packet asked for is not one of it; the answer goes the other way."""
    packets = told(6, way, flags)
    assert expected == [packet.rsplit(" ", 1)[1] for packet in packets]
    assert (BACK if way == "answer" else THERE) == packets[-1].rsplit(" ", 1)[0]


def test_a_query_comes_before_its_answer() -> None:
    """A protocol without flags has one request and one answer."""
    assert [THERE, BACK] == told(17, "answer", 0)
    assert [THERE] == told(17, "request", 0)
