"""The ways out and their predicted entries, for the document's incident."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.remedies import demand, remedies
from conntrim.core.model.census import Sample
from conntrim.core.model.facts import Era
from conntrim.core.model.finding import RemedyKind
from tests.unit.core.diagnose.cases import CACHE, FULL, INCIDENT, WEB, census, host, later, service, state


def titles(case: Case, *, matters: bool = True) -> list[tuple[str, int]]:
    """Title and entries after of each remedy, in order."""
    return [(remedy.title, remedy.entries_after) for remedy in remedies(case) if remedy.matters is matters]


def test_the_documents_remedies_in_their_order() -> None:
    """65,000 entries: a larger table helps at once; untracking both services leaves the 789 of MySQL, and so on.

    TIME_WAIT at 30 s takes the 40,211 entries idle for longer. Demand: 65,000 and 93 a second for 120 s.
    """
    assert titles(INCIDENT) == [
        ("enlarge: max 262,144, buckets 262,144, 82.0 MB when full", 76_160),
        ("untrack these 2 services together", 789),
        ("keep-alive: 100 requests a connection", 65_000 - 60_211 + 602),
        ("untrack outbound tcp/11211 to 192.168.0.17", 24_789),
        ("tcp_timeout_time_wait 120 -> 30 s", 24_789),
        ("untrack inbound tcp/80", 41_000),
    ]


def test_established_is_said_not_to_matter() -> None:
    """The document shortened it and saw no effect: no established entry is idle, so none would go."""
    assert titles(INCIDENT, matters=False) == [("tcp_timeout_established 432,000 -> 7,440 s", 65_000)]


def test_established_matters_where_it_does() -> None:
    """97 of 100 entries idle for half a day: now it is the time-out to shorten."""
    idle = census(service(WEB, state("tcp established", 97, 43_200), state("tcp established", 3)))
    assert ("tcp_timeout_established 432,000 -> 7,440 s", 3) in titles(Case(host(count=100), None, idle))


@pytest.mark.parametrize(
    ("era", "how"),
    [
        (
            Era.NF,
            ("sysctl -w net.netfilter.nf_conntrack_max=262144", "sysctl -w net.netfilter.nf_conntrack_buckets=262144"),
        ),
        (Era.IP, ("sysctl -w net.ipv4.ip_conntrack_max=262144", "options ip_conntrack hashsize=262144")),
    ],
)
def test_enlarging_in_the_words_of_each_era(era: Era, how: tuple[str, ...]) -> None:
    """The 2.6 era has ip_conntrack keys, and buckets only at module load; max is always set beside them (K27)."""
    case = replace(INCIDENT, facts=replace(FULL, era=era))
    (enlarge,) = [remedy for remedy in remedies(case) if remedy.kind is RemedyKind.ENLARGE]
    assert enlarge.how == how


def test_a_child_namespace_is_told_where_max_is_set() -> None:
    """K25: max is read-only there."""
    case = replace(INCIDENT, facts=replace(FULL, max_writable=False))
    (enlarge,) = [remedy for remedy in remedies(case) if remedy.kind is RemedyKind.ENLARGE]
    assert enlarge.how[-1] == "in the initial namespace: one max for all, each may reach it"


def test_a_table_with_room_is_not_enlarged() -> None:
    """A quiet host gets no advice to grow."""
    case = Case(host(count=100), None, census(service(WEB, state("tcp time_wait", 100))))
    assert RemedyKind.ENLARGE not in {remedy.kind for remedy in remedies(case)}


def test_translated_services_are_not_untracked() -> None:
    """K4: NAT stops for an untracked flow, so such a service is no candidate."""
    nat = census(service(WEB, state("tcp established", 97), translated=1), service(CACHE, state("tcp established", 61)))
    assert [title for title, _ in titles(Case(host(count=158), None, nat))] == [
        "untrack outbound tcp/11211 to 192.168.0.17"
    ]


def test_demand_without_drops_is_the_count() -> None:
    """Nothing was turned away: what is there is what is needed."""
    assert demand(Case(FULL, later(FULL), INCIDENT.census)) == 65_000


def test_a_sample_is_scaled() -> None:
    """Half of the sample is half of the table."""
    counted = census(service(WEB, state("tcp established", 50)), service(CACHE, state("tcp established", 50)))
    sampled = replace(counted, sample=Sample(100, 10_000, 0.05))
    assert ("untrack inbound tcp/80", 5_000) in titles(Case(host(count=10_000), None, sampled))


def test_without_a_census_there_is_no_remedy() -> None:
    """Nothing is predicted from nothing."""
    assert remedies(Case(FULL)) == ()


def test_a_table_larger_than_the_memory_is_no_remedy() -> None:
    """With 100 MB of memory, 82 MB of table are not advised."""
    case = replace(INCIDENT, facts=replace(FULL, memory_total=100 << 20))
    assert "enlarge: max 262,144, buckets 262,144, 82.0 MB when full" in dict(titles(case, matters=False))
