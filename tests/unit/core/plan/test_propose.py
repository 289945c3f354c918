"""A census becomes a policy: what is chosen, what is left out, what remains."""

from conntrim.core.model.address import parse_address
from conntrim.core.model.census import Breakdown, Census, ServiceCount
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import Policy
from conntrim.core.model.service import Direction, Service
from conntrim.core.plan.propose import predicted, propose
from tests.unit.core.plan.planning import facts

SERVER = Intervals.of(parse_address("192.168.0.17"))
NOTHING = Breakdown((), 0, 0)


def counted(*counts: ServiceCount) -> Census:
    """A census of these services alone."""
    total = sum(c.entries for c in counts)
    return Census("test", total, counts, 0, 0, NOTHING, NOTHING, NOTHING, ("192.168.0.18",), False)


def count(service: Service, entries: int, translated: int = 0) -> ServiceCount:
    """So many entries of a service."""
    return ServiceCount(service, entries, 0, translated, 0, (), max(service.servers.size, 1), 1)


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


def test_size_is_proposed_only_where_what_stays_crowds_the_table() -> None:
    """max stays as it is unless the entries that remain fill more than half of it."""
    crowded = counted(*(count(Service(Direction.FORWARDED, 6, p), 30_000) for p in (1, 2)))
    roomy = propose(counted(WEB), facts())
    assert (None, None) == (roomy.policy.max, roomy.policy.buckets)
    assert Policy((), 131_072, 131_072) == propose(crowded, facts()).policy
