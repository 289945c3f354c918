"""A census becomes a policy: what is chosen, what is left out, what remains."""

from dataclasses import replace

import pytest

from conntrim.core.emit.policy import emit_policy
from conntrim.core.model.address import parse_address
from conntrim.core.model.census import IDLE_STEPS, Breakdown, Cell, Census, Kind, Row, ServiceCount, StateCount
from conntrim.core.model.facts import Refusals
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import Policy
from conntrim.core.model.service import Direction, Service
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.limited import over_now
from conntrim.core.plan.propose import bounds, predicted, propose
from tests.unit.core.plan.planning import facts

SERVER = Intervals.of(parse_address("192.168.0.17"))
NOTHING = Breakdown((), 0, 0)


def counted(*counts: ServiceCount) -> Census:
    """A census of these services alone."""
    total = sum(c.entries for c in counts)
    return Census("test", total, counts, 0, 0, NOTHING, NOTHING, NOTHING, ("192.168.0.18",), False)


def count(service: Service, entries: int, translated: int = 0) -> ServiceCount:
    """So many entries of a service."""
    servers = service.servers
    return ServiceCount(service, entries, 0, translated, 0, (), max(servers.size, 1), 1, servers=servers)


WEB = count(Service(Direction.INBOUND, 6, 80), 600)
LOCAL_WEB = count(Service(Direction.LOOPBACK, 6, 80), 100)
CACHE = count(Service(Direction.OUTBOUND, 6, 11211, SERVER), 250)
SSH = count(Service(Direction.INBOUND, 6, 22), 3)


def test_large_services_are_proposed_and_their_entries_go() -> None:
    """The web service (on lo too) and the pinned cache are proposed; what stays is the rest, exactly."""
    census = counted(WEB, LOCAL_WEB, CACHE, SSH)
    proposal = propose(census, facts("192.168.0.18"))
    assert ["inbound tcp/80", "outbound tcp/11211 to 192.168.0.17"] == [str(u) for u in proposal.policy.untrack]
    assert (953, 3) == predicted(proposal.policy, census)
    assert "600 entries, 63 %" in proposal.notes[0]


def test_obstacles_are_named() -> None:
    """Forwarded, translated, helper-followed, portless and unpinnable services are left out, each with its reason."""
    left = [
        (Service(Direction.FORWARDED, 6, 443), 0, "forwarded"),
        (Service(Direction.INBOUND, 6, 8080), 5, "5 of its entries are translated"),
        (Service(Direction.INBOUND, 6, 21), 0, "ftp helper"),
        (Service(Direction.INBOUND, 1, 8), 0, "icmp has no ports"),
        (Service(Direction.OUTBOUND, 17, 53), 0, "too many to name"),
    ]
    proposal = propose(counted(*(count(s, 100, t) for s, t, _ in left)), facts())
    assert () == proposal.policy.untrack
    assert [True] * 5 == [why in text for (_, _, why), text in zip(left, proposal.left_out, strict=True)]


def test_many_small_services_of_a_kind_are_one_entry() -> None:
    """Fifty ports of a proxy with 2 % each, among them one of lo, go untracked together, as ranges; ssh, ports that
    somebody scans, one among the host's own clients' ports and a translated one do not."""
    ports = [count(Service(Direction.INBOUND, 6, p), 20) for p in (*range(8001, 8031), *range(8101, 8120))]
    on_lo, scanned = count(Service(Direction.LOOPBACK, 6, 8031), 20), count(Service(Direction.INBOUND, 6, 9000), 20)
    others = [replace(SSH, entries=1), replace(scanned, unreplied=20), count(Service(Direction.INBOUND, 6, 40_000), 20)]
    census = counted(*ports, on_lo, *others, count(Service(Direction.INBOUND, 6, 8200), 20, 20))
    proposal = propose(census, facts("192.168.0.18"))
    assert ["inbound tcp/8001-8031,8101-8119"] == [str(u) for u in proposal.policy.untrack]
    assert proposal.notes == ("50 services of a kind, each small: together 1,000 entries, 94 %",)
    assert predicted(proposal.policy, census) == (1_061, 61)


def test_what_a_proxy_asks_is_pinned_to_each_ports_own_servers() -> None:
    """Thirty ports with servers of their own are an entry each, two with the same servers one: no pair of port and
    server is named that was not seen."""
    own = [Intervals.of(parse_address(f"10.30.{n}.1")) for n in range(30)]
    services = [count(Service(Direction.OUTBOUND, 6, 9_000 + n, servers), 20) for n, servers in enumerate(own)]
    shared = count(Service(Direction.OUTBOUND, 6, 9_100, own[0]), 20)
    untrack = propose(counted(*services, shared), facts("192.168.0.18")).policy.untrack
    assert {str(u) for u in untrack} == {
        "outbound tcp/9000,9100 to 10.30.0.1",
        *(f"outbound tcp/{9_000 + n} to 10.30.{n}.1" for n in range(1, 30)),
    }


def test_a_sites_own_servers_are_named_by_the_hundred_and_the_internets_not() -> None:
    """300 upstreams of 10.30.0.0/16 are named as they are; 300 name servers of the internet, others tomorrow, not."""
    private, public = (
        replace(count(Service(Direction.OUTBOUND, 6, 8080), 900), servers=_block(first), addresses=300)
        for first in ("10.30.0.1", "198.51.100.1")
    )
    assert ["outbound tcp/8080 to 10.30.0.1-10.30.1.44"] == [
        str(u) for u in propose(counted(private), facts()).policy.untrack
    ]
    assert ("its 300 servers are too many to name",) == propose(counted(public), facts()).obstacles


def _block(first: str) -> Intervals:
    return Intervals.of((parse_address(first), parse_address(first) + 299))


def test_what_comes_from_ports_that_the_host_gives_nobody_stays_tracked() -> None:
    """Of a service's 250 entries 100 come from such ports, and are left in the prediction; with 200 it is not worth
    rules."""
    census = counted(replace(CACHE, odd_ports=100))
    assert (250, 100) == predicted(propose(census, facts()).policy, census)
    stays = propose(counted(replace(CACHE, odd_ports=200)), facts())
    assert ((), True) == (stays.policy.untrack, "outside net.ipv4.ip_local_port_range" in stays.left_out[0])


def test_size_is_proposed_only_where_what_stays_crowds_the_table() -> None:
    """max stays as it is unless the entries that remain fill more than half of it."""
    crowded = counted(*(count(Service(Direction.FORWARDED, 6, p), 30_000) for p in (1, 2)))
    roomy = propose(counted(WEB), facts())
    assert (None, None) == (roomy.policy.max, roomy.policy.buckets)
    assert Policy((), 131_072, 131_072) == propose(crowded, facts()).policy


def idle(state: str, entries: int, seconds: int) -> StateCount:
    """So many entries of a state, all idle for that long."""
    at = next(n for n, edge in enumerate(IDLE_STEPS) if seconds < edge)
    return StateCount(state, entries, tuple(entries if n == at else 0 for n in range(len(IDLE_STEPS) + 1)))


def test_a_gateway_gets_time_outs_where_nothing_can_go_untracked() -> None:
    """Masqueraded pools that idle for days keep NAT's 7,440 s (K93), DNS queries 10 s; what is no longer idle than
    that, and a game's UDP above port 1023, get nothing."""
    pool = Service(Direction.FORWARDED, 6, 5432)
    dns, game = Service(Direction.FORWARDED, 17, 53), Service(Direction.FORWARDED, 17, 27015)
    counts = (
        replace(count(pool, 500, 500), states=(idle("tcp established", 500, 90_000),)),
        replace(count(dns, 300, 300), states=(idle("udp replied", 300, 25),)),
        replace(count(game, 200, 200), states=(idle("udp stream", 200, 100),)),
    )
    proposal = propose(counted(*counts), replace(facts(), max=400))
    made = proposal.policy.service_timeouts
    assert {str(t.what): t.seconds.get("established", t.seconds.get("unreplied")) for t in made} == {
        "forwarded tcp/5432": 7_440, "forwarded udp/53": 10,
    }  # fmt: skip
    assert (1_000, 200) == predicted(proposal.policy, counted(*counts))
    assert "cannot go untracked (forwarded flows belong to other hosts)" in proposal.notes[0]
    assert proposal.policy == parse_policy(emit_policy(proposal.policy, proposal.notes).encode(), "p").unplaced()


def test_what_is_enough_is_enough() -> None:
    """The pool alone leaves the table half empty: DNS keeps its time-outs. A published port, which is another where
    the packets leave, gets none."""
    pool, dns = Service(Direction.FORWARDED, 6, 5432), Service(Direction.FORWARDED, 17, 53)
    census = counted(
        replace(count(pool, 600, 600), states=(idle("tcp established", 600, 90_000),)),
        replace(count(dns, 100, 100), states=(idle("udp replied", 100, 25),)),
    )
    roomy = replace(facts(), max=800)
    assert ["forwarded tcp/5432"] == [t.what for t in propose(census, roomy).policy.service_timeouts]
    published = counted(*(replace(c, redirected=c.entries) for c in census.services))
    assert () == propose(published, roomy).policy.cures


def test_an_abuser_gets_a_limit_that_nobody_else_meets() -> None:
    """One client of a gateway has a hundred times what others have: twice the largest of these, and at least 100."""
    rows = (Row("10.9.0.22", 4_000), *(Row(f"10.9.0.{n}", 40 + n) for n in range(2, 12)))
    for state, wanted in (("tcp established", (102, None)), ("tcp time_wait", (None, 10))):
        cell = Cell(Direction.FORWARDED, 6, state, True, True, True, Kind.UNICAST, False, False, 0, 4_465)
        census = replace(
            counted(count(Service(Direction.FORWARDED, 6, 443), 4_465, 4_465)),
            clients=Breakdown(rows, 0, 0), cells=(cell,),
        )  # fmt: skip
        proposal = propose(census, replace(facts(), max=5_000))
        (limit,) = proposal.policy.limits
        assert wanted == (limit.connections, limit.per_second)
        assert "10.9.0.22 (4,000 entries) fill the table" in proposal.notes[0]
        over = "".join(over_now([limit], census))
        assert ("10.9.0.22 (4,000); what they have open stays until it ends" in over) is bool(limit.connections)


def dns(entries: int, recent: int, direction: Direction = Direction.FORWARDED) -> ServiceCount:
    """Queries, forwarded ones translated: so many of them in the last seconds, all others at the end of their 30 s."""
    idle = [0] * (len(IDLE_STEPS) + 1)
    idle[2], idle[6] = recent, entries - recent
    found = count(Service(direction, 17, 53), entries, entries * (direction is Direction.FORWARDED))
    return replace(found, states=(StateCount("udp unreplied", entries, tuple(idle)),))


def test_what_a_full_table_refuses_is_foretold() -> None:
    """Of 80 queries a second 60 come: with 10 s each 800 will be there, where the ages show but 540; never more than
    there is room for."""
    census = counted(dns(1_800, 540))
    full = replace(facts(), max=2_000)
    policy = propose(census, full).policy
    assert [str(each) for each in policy.service_timeouts] == ["forwarded udp/53: unreplied 10 s, replied 60 s"]
    assert predicted(policy, census, full) == (1_800, 540)
    assert predicted(policy, census, replace(full, refused=Refusals(20))) == (1_800, 800)
    assert predicted(policy, census, replace(full, refused=Refusals(2_000))) == (1_800, 2_000)


def test_what_is_untracked_takes_its_part_of_the_refused_along() -> None:
    """Half of 40 that are refused a second are queries to this host, which goes untracked; half are forwarded, stay
    for 30 s each, and get a time-out where that would crowd the table."""
    census = counted(dns(900, 270, Direction.INBOUND), dns(900, 270))
    full = replace(facts(), max=4_000, refused=Refusals(40))
    policy = propose(census, full).policy
    assert ([str(each) for each in policy.untrack], policy.service_timeouts) == (["inbound udp/53"], ())
    assert predicted(policy, census, full) == (1_800, 1_500)
    assert len(propose(census, replace(full, max=2_900)).policy.service_timeouts) == 1
    assert propose(census, replace(full, max=2_900, refused=Refusals())).policy.service_timeouts == ()


def test_bounds_are_of_what_arrives() -> None:
    """540 that came in 9 s are known to 8 % at 95 %. Who was refused may have asked before, and may keep as
    many from being asked for."""
    census = counted(dns(1_800, 540))
    policy = propose(census, replace(facts(), max=2_000)).policy
    none, some = (replace(facts(), max=9_000, refused=Refusals(each)) for each in (0, 20))
    assert bounds(policy, census, replace(none, refused=None)) is None
    neighbours = replace(dns(9, 9), service=Service(Direction.INBOUND, 2, 0), states=(StateCount("igmp", 9, (9,)),))
    assert bounds(policy, counted(neighbours), none) is None  # nobody knows when those end
    assert (predicted(policy, census, none), bounds(policy, census, none)) == ((1_800, 600), (549, 651))
    assert (predicted(policy, census, some), bounds(policy, census, some)) == ((1_800, 800), (533, 1_134))


def test_who_was_let_in_for_another_is_counted_once() -> None:
    """90 a second come, and 22 entries a second are put out for them, some of which had come just before: 770 are left
    of 810."""
    census = replace(counted(dns(2_000, 770)), cells=(young(770, 0), young(1_230, 10)))
    full = replace(facts(), max=9_000, refused=Refusals(evicted=22))
    assert predicted(Policy(), census, full)[1] == pytest.approx(90 * 30, rel=0.01)


def young(entries: int, idle: int) -> Cell:
    """Queries that wait for their answer, idle for so many seconds."""
    return Cell(
        Direction.FORWARDED, 17, "udp unreplied", False, False, True, Kind.UNICAST, False, False, idle, entries
    )  # fmt: skip
