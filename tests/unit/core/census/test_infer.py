"""Whose table it is and what its time-outs are, from listings whose host is known."""

from __future__ import annotations

import pytest

from conntrim.core.census.infer import infer_viewpoint
from conntrim.core.model.census import Viewpoint
from conntrim.core.parse.conntrack_text import TextTable


def entry(
    src: str, dst: str, sport: int, dport: int, *, left: int = 25, state: str = "", proto: str = "udp",
    replied: bool = True, answerer: str = "", translated: str = "",
) -> str:  # fmt: skip
    """One line of `conntrack -L`; `answerer`: where DNAT led to; `translated`: the source that SNAT gave."""
    number = {"udp": 17, "tcp": 6}[proto]
    return (
        f"{proto} {number} {left} {state} src={src} dst={dst} sport={sport} dport={dport}"
        f"{'' if replied else ' [UNREPLIED]'} src={answerer or dst} dst={translated or src} sport={dport} dport={sport}"
        f"{' [ASSURED]' if state == 'ESTABLISHED' else ''} mark=0 use=1\n"
    )


def seen(*lines: str) -> Viewpoint:
    """What the listing tells."""
    return infer_viewpoint([TextTable("t").feed("".join(lines).encode(), last=True)])


def addresses(viewpoint: Viewpoint) -> list[int]:
    """The last octets of the inferred addresses."""
    return [low & 0xFF for low, _ in viewpoint.local.ranges]


def test_a_gateway_is_known_by_where_translated_sources_are_answered() -> None:
    """One inside client holds 8 of 10 entries and all of them ask one resolver: neither is the host."""
    client = [entry("10.7.0.8", "203.0.113.5", 4_000 + n, 53, translated="192.0.2.77") for n in range(8)]
    others = [entry(f"10.7.0.{n}", "203.0.113.5", 4_000, 53, translated="192.0.2.77") for n in (11, 12)]
    viewpoint = seen(*client, *others)
    assert (addresses(viewpoint), viewpoint.doubt) == ([77], "")
    assert viewpoint.evidence == ("192.0.2.77 is where 10 translated sources (SNAT) are answered",)


def test_a_gateways_inner_address_is_what_the_rest_is_about() -> None:
    """Beside translated traffic clients ask the gateway for names: its inner address is in all of that."""
    nat = [entry(f"10.7.0.{n}", "203.0.113.5", 4_000, 443, translated="192.0.2.77") for n in range(2, 9)]
    dns = [entry(f"10.7.0.{n}", "10.7.0.1", 5_000, 53) for n in range(2, 9)]
    assert addresses(seen(*nat, *dns)) == [1, 77]


def test_a_public_resolver_is_nobodys_own_host() -> None:
    """A router without NAT whose clients all ask 8.8.8.8: that is not the host; it has no address here."""
    viewpoint = seen(*(entry(f"10.7.0.{n}", "8.8.8.8", 4_000 + n, 53) for n in range(2, 30)))
    assert addresses(viewpoint) == []


def test_a_server_outside_and_the_host_itself_are_two_readings() -> None:
    """Private clients, one public address that answers all and opens nothing: both readings are told."""
    viewpoint = seen(*(entry(f"10.7.0.{n}", "203.0.113.5", 4_000 + n, 53) for n in range(2, 30)))
    assert addresses(viewpoint) == [5]
    assert viewpoint.doubt == "203.0.113.5 may as well be a server outside that these clients reach through this host"


def test_two_hosts_alone_are_two_readings() -> None:
    """All entries are between the same two: either may be the host."""
    viewpoint = seen(*(entry("198.51.100.7", "198.51.100.8", 4_000 + n, 80) for n in range(5)))
    assert viewpoint.doubt == "all is between 198.51.100.7 and 198.51.100.8: either may be this host"


def test_a_router_without_nat_and_one_busy_client() -> None:
    """A client with 6 of 10 entries is prominent, but traffic of others passes here too: it may be forwarded."""
    busy = [entry("198.51.100.9", f"203.0.113.{n}", 4_000, 443) for n in range(6)]
    others = [entry(f"198.51.100.{n}", f"203.0.113.{100 + n}", 4_000, 443) for n in range(20, 24)]
    viewpoint = seen(*busy, *others)
    assert viewpoint.doubt == "198.51.100.9 may as well be another host whose traffic is forwarded here"


@pytest.mark.parametrize(("lan", "server"), [("198.51.100.", "203.0.113.8"), ("2001:db8:7::", "2001:db8:cafe::8")])
def test_a_server_that_only_neighbours_of_the_busy_client_ask(lan: str, server: str) -> None:
    """Two addresses explain all; but whom only the neighbours of the other one ask may be a server elsewhere, and this
    host a router between them.
    """
    far = "2001:db8:beef::" if ":" in lan else "203.0.113.2"
    busy = [entry(f"{lan}9", f"{far}{n}", 4_000, 443) for n in range(6)]
    neighbours = [entry(f"{lan}{n}", server, 4_000, 443) for n in range(20, 24)]
    viewpoint = seen(*busy, *neighbours)
    assert (
        viewpoint.doubt == f"{server} may as well be another host, which neighbours of {lan}9 reach through this host"
    )


def test_a_host_with_two_addresses() -> None:
    """One that asks its database, one that everybody asks: both are its own, though one of those is near the first."""
    asks = [entry("198.51.100.9", f"198.51.100.{n}", 4_000, 5_432) for n in (20, 21) for _ in range(3)]
    asked = [entry(f"192.0.{n}.7", "203.0.113.8", 4_000, 443) for n in range(6)]
    viewpoint = seen(*asks, *asked, entry("198.51.100.30", "203.0.113.8", 4_001, 443))
    assert (addresses(viewpoint), viewpoint.doubt) == ([9, 8], "")


def test_who_talks_to_itself_is_here() -> None:
    """Both ends of lo: certain, however much else passes."""
    passing = [entry(f"198.51.100.{n}", f"203.0.113.{n}", 4_000, 443) for n in range(20, 40)]
    viewpoint = seen(*passing, entry("192.0.2.9", "192.0.2.9", 4_000, 5_432))
    assert (addresses(viewpoint), viewpoint.doubt) == ([9], "")


def test_loopback_addresses_are_no_evidence() -> None:
    """Everybody has 127.0.0.1."""
    viewpoint = seen(*(entry("127.0.0.1", "127.0.0.1", 4_000 + n, 53) for n in range(9)))
    assert (addresses(viewpoint), viewpoint.doubt) == ([], "")


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ([86_399] * 12, 86_400),  # a usual value, with entries enough
        ([431_990, 300, 5], 432_000),  # the default
        ([500_000, 20], 500_000),  # above the default: at least that
        ([604_790], 604_800),  # above it, and a usual value
        ([250_000] * 12, 250_000),  # between usual values: no more than this is known
        ([290, 300], None),  # perhaps waiting for an acknowledgement
    ],
)
def test_the_time_out_of_established_connections(left: list[int], expected: int | None) -> None:
    """What the seconds left tell of nf_conntrack_tcp_timeout_established."""
    lines = [
        entry("198.51.100.7", "198.51.100.8", 4_000 + n, 80, proto="tcp", state="ESTABLISHED", left=seconds)
        for n, seconds in enumerate(left)
    ]
    assert seen(*lines).timeouts.get("nf_conntrack_tcp_timeout_established") == expected
