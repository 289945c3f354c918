"""Each cause is named first in a table made of it, alone and among ordinary traffic; healthy tables have none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from conntrim.core.diagnose.case import Rules
from conntrim.core.diagnose.causes.registry import causes
from conntrim.core.diagnose.report import diagnose
from conntrim.core.model.facts import Listener
from conntrim.core.model.finding import Finding, Place, RemedyKind, Severity
from tests.unit.core.diagnose.cases import host
from tests.unit.core.diagnose.listings import OWN, case, entry

INSIDE, GATEWAY = "10.20.0.0", "198.51.100.1"
Lines = Callable[[], Iterator[str]]


def inside(n: int) -> str:
    """A client behind a gateway."""
    return f"10.20.{n >> 8 & 255}.{n & 255}"


def outside(n: int) -> str:
    """An address somewhere."""
    return f"203.0.{113 + (n >> 8) % 100}.{n & 255}"


def ordinary(entries: int) -> Iterator[str]:
    """A web server's table: many clients, connections in use and some just closed."""
    for n in range(entries):
        state, left = ("TIME_WAIT", 1 + n % 119) if n % 3 == 0 else ("ESTABLISHED", 431_990)
        yield entry("tcp", outside(n), OWN, 33_000 + n % 20_000, 443, state=state, left=left)


def household(entries: int) -> Iterator[str]:
    """A gateway's table: thirty clients, each with a few dozen connections and look-ups."""
    for n in range(entries):
        if n % 10 == 0:
            yield entry("udp", inside(n % 30), "9.9.9.9", 20_000 + n, 53, translated=GATEWAY)
        else:
            state, left = ("TIME_WAIT", 1 + n % 119) if n % 4 == 0 else ("ESTABLISHED", 431_990)
            yield entry("tcp", inside(n % 30), outside(n), 33_000 + n % 20_000, 443, state=state, left=left,
                        translated=GATEWAY)  # fmt: skip


def scan_out() -> Iterator[str]:
    """An infected client asks port 23 of everybody."""
    for n in range(600):
        yield entry("tcp", inside(7), outside(n), 33_000 + n, 23, state="SYN_SENT", left=110, replied=False,
                    translated=GATEWAY)  # fmt: skip


def scan_in() -> Iterator[str]:
    """One address asks all our ports; the closed ones reset."""
    for n in range(600):
        yield entry("tcp", "203.0.113.9", OWN, 40_000, 1 + n, state="CLOSE", left=8)


def flood() -> Iterator[str]:
    """SYNs from made-up addresses."""
    for n in range(600):
        yield entry("tcp", outside(n), OWN, 1_024 + n, 80, state="SYN_RECV", left=55)


def full_queue() -> Iterator[str]:
    """Forty clients try again and again; some connections are in the queue."""
    for n in range(400):
        yield entry("tcp", outside(n % 40), OWN, 40_000 + n, 8_080, state="SYN_SENT", left=100, replied=False)
    for n in range(20):
        yield entry("tcp", outside(n), OWN, 30_000 + n, 8_080, state="CLOSE_WAIT", left=50)


def answered() -> Iterator[str]:
    """Answers came, and the state stayed."""
    for n in range(300):
        yield entry("tcp", outside(n), OWN, 30_000 + n, 9_300, state="SYN_SENT", left=100)


def one_way_forwarded() -> Iterator[str]:
    """A router that sees only the clients' direction."""
    for n in range(300):
        yield entry(
            "tcp", outside(n), f"172.30.0.{n % 200}", 30_000 + n, 443, state="ESTABLISHED", left=280, replied=False
        )


def after_a_restart() -> Iterator[str]:
    """The server's packet was seen first, then the client's."""
    for n in range(300):
        yield entry("tcp", OWN, outside(n), 443, 40_000 + n, state="ESTABLISHED", left=431_000)


def dht() -> Iterator[str]:
    """A client behind NAT asks a thousand nodes from one port."""
    for n in range(900):
        yield entry("udp", inside(9), outside(n), 51_413, 1_024 + (n * 37) % 60_000, replied=n % 8 == 0,
                    translated=GATEWAY)  # fmt: skip


def dht_here() -> Iterator[str]:
    """The same of a program on the host itself, which others call too."""
    for n in range(700):
        yield entry("udp", OWN, outside(n), 6_881, 1_024 + (n * 37) % 60_000, replied=n % 8 == 0)
    for n in range(200):
        yield entry("udp", outside(9_000 + n), OWN, 1_024 + (n * 41) % 60_000, 6_881)


def time_server() -> Iterator[str]:
    """Everybody asks for the time."""
    for n in range(800):
        yield entry("udp", outside(n), OWN, 1_024 + (n * 31) % 60_000, 123)


def reflector() -> Iterator[str]:
    """Forged questions in the names of three victims."""
    for n in range(800):
        yield entry("udp", outside(n % 3), OWN, 1_024 + n, 11_211)


def resolver() -> Iterator[str]:
    """Clients ask, and we ask the name servers of the world."""
    for n in range(400):
        yield entry("udp", inside(n % 60), OWN, 20_000 + n, 53)
    for n in range(500):
        yield entry("udp", OWN, outside(n), 1_024 + n, 53, replied=n % 5 > 0)


def look_ups() -> Iterator[str]:
    """A program without a cache."""
    for n in range(600):
        yield entry("udp", OWN, "198.51.100.53", 20_000 + n, 53)


def cluster_dns() -> Iterator[str]:
    """Pods ask the service address, which is translated to two resolvers."""
    for n in range(600):
        yield entry("udp", f"10.244.1.{n % 40 + 2}", "10.96.0.10", 20_000 + n, 53, answerer=f"10.244.{n % 2}.3")


def tunnels() -> Iterator[str]:
    """VXLAN to five other nodes, a port an inner connection."""
    for n in range(600):
        yield entry("udp", OWN, f"192.0.2.{20 + n % 5}", 32_768 + n * 40, 4_789, replied=False)


def neighbours() -> Iterator[str]:
    """Announcements to everybody and to groups."""
    for n in range(300):
        yield entry("udp", f"192.0.2.{20 + n % 200}", "255.255.255.255", 17_500 + n, 17_500, replied=False)
    for n in range(200):
        yield entry("udp", f"192.0.2.{20 + n % 200}", "239.255.255.250", 40_000 + n, 1_900, replied=False)


def checkers() -> Iterator[str]:
    """Two load balancers ask twelve ports and reset."""
    for n in range(600):
        yield entry("tcp", f"192.0.2.{5 + n % 2}", OWN, 20_000 + n, 8_000 + n % 12, state="CLOSE", left=8)


def relay() -> Iterator[str]:
    """Relays call, and are called."""
    for n in range(300):
        yield entry("tcp", outside(n), OWN, 30_000 + n, 9_001, state="ESTABLISHED", left=431_500)
    for n in range(300):
        yield entry("tcp", OWN, outside(5_000 + n), 40_000 + n, 9_001, state="ESTABLISHED", left=431_500)


def leak() -> Iterator[str]:
    """The program does not close; the host keeps such entries for an hour."""
    for n in range(300):
        yield entry("tcp", outside(n), OWN, 30_000 + n, 8_443, state="CLOSE_WAIT", left=3_599 - n * 10)


def greedy() -> Iterator[str]:
    """One client behind NAT has 600 of 750 entries."""
    for n in range(600):
        yield entry(
            "tcp", inside(200), outside(n % 9), 30_000 + n, 443, state="TIME_WAIT", left=100, translated=GATEWAY
        )


def silent() -> Iterator[str]:
    """A server that is asked and does not answer."""
    for n in range(300):
        yield entry("tcp", OWN, "203.0.113.80", 30_000 + n, 5_432, state="SYN_SENT", left=100, replied=False)


def pool() -> Iterator[str]:
    """Kept connections to a database, quiet for ten minutes; one in use shows the time-out."""
    yield entry("tcp", OWN, "192.0.2.40", 29_999, 5_432, state="ESTABLISHED", left=431_999)
    for n in range(300):
        yield entry("tcp", OWN, "192.0.2.40", 30_000 + n, 5_432, state="ESTABLISHED", left=431_100)


def closed() -> Iterator[str]:
    """A web host and its cache."""
    for n in range(600):
        yield entry("tcp", OWN, "192.0.2.40", 30_000 + n, 11_211, state="TIME_WAIT", left=1 + n % 119)


def dead_peers() -> Iterator[str]:
    """Clients that vanished hours ago, beside some that are there."""
    for n in range(400):
        left = 431_999 if n % 10 == 0 else 300_000
        yield entry("tcp", outside(n), OWN, 30_000 + n, 5_222, state="ESTABLISHED", left=left)


def last_packets() -> Iterator[str]:
    """A firewall on the way eats the last packets."""
    for n in range(300):
        state = "LAST_ACK" if n % 2 else "FIN_WAIT"
        yield entry("tcp", outside(n), OWN, 30_000 + n, 443, state=state, left=20)


def one_way_senders() -> Iterator[str]:
    """Many senders of syslog."""
    for n in range(300):
        yield entry("udp", f"192.0.2.{20 + n % 200}", OWN, 30_000 + n, 514, replied=False)


NO_LOCAL = ""
MADE: dict[str, tuple[str, Lines, Lines | None, str]] = {
    "CT010": ("short-lived", closed, None, OWN),
    "CT011": ("idle", dead_peers, None, OWN),
    "CT012": ("questions without an answer", one_way_senders, ordinary_part := (lambda: ordinary(100)), OWN),
    "CT013": ("203.0.113.80 tcp/5432 does not answer", silent, ordinary_part, OWN),
    "CT015": ("not closed", last_packets, ordinary_part, OWN),
    "CT030": (
        "port scan from 10.20.0.7 to 600 addresses, 1 port",
        scan_out,
        household_part := (lambda: household(150)),
        NO_LOCAL,
    ),
    "CT031": ("port scan by 203.0.113.9 of 600 ports", scan_in, ordinary_part, OWN),
    "CT032": ("SYN flood on tcp/80", flood, ordinary_part, OWN),
    "CT033": ("the program at tcp/8080 does not accept", full_queue, ordinary_part, OWN),
    "CT034": ("answered but not open: tcp/9300", answered, ordinary_part, OWN),
    "CT035": ("asymmetric routing: only the clients' direction", one_way_forwarded, None, OWN),
    "CT036": ("picked up", after_a_restart, None, OWN),
    "CT037": ("peer-to-peer (DHT) of 10.20.0.9", dht, household_part, NO_LOCAL),
    "CT037 here": ("peer-to-peer (DHT) of 192.0.2.18", dht_here, ordinary_part, OWN),
    "CT038": ("time server", time_server, ordinary_part, OWN),
    "CT039": ("amplification through memcached (udp/11211)", reflector, ordinary_part, OWN),
    "CT040": ("this host resolves names", resolver, ordinary_part, OWN),
    "CT041": ("look-ups of this host", look_ups, ordinary_part, OWN),
    "CT042": ("kube-dns", cluster_dns, None, OWN),
    "CT043": ("VXLAN udp/4789", tunnels, ordinary_part, OWN),
    "CT044": ("broadcast and multicast noise", neighbours, ordinary_part, OWN),
    "CT045": ("health checks by 192.0.2.5, 192.0.2.6", checkers, ordinary_part, OWN),
    "CT046": ("Tor relay", relay, ordinary_part, OWN),
    "CT047": ("CLOSE_WAIT for 3,600 s", leak, ordinary_part, OWN),
    "CT049": ("idle pool: connections to 192.0.2.40 tcp/5432", pool, None, OWN),
    "CT050": ("one client, 10.20.0.200, holds 80.0 %", greedy, household_part, NO_LOCAL),
}
"""By code: what its title says, the entries of the cause, others beside them, and the host's address ("": inferred)."""


@pytest.mark.parametrize("name", MADE)
def test_each_cause_comes_first_in_its_table(name: str) -> None:
    """In a full table, with the share that its entries have; the warning is this one's and no other cause's."""
    told, lines, beside, local = MADE[name]
    made, others = list(lines()), list(beside()) if beside else []
    found = causes(case([*others, *made], local=local))
    first = found[0]
    assert (first.code, first.severity) == (name[:5], Severity.WARNING)
    assert told in first.title
    assert first.evidence_for
    assert abs(first.share - len(made) / len(made + others)) < 0.12
    rest = {cause.code for cause in found[1:] if cause.share > 0.15}
    assert rest <= {"CT010", "CT047"}  # what the ordinary traffic beside it leaves, and what waits in a full queue


@pytest.mark.parametrize("name", MADE)
def test_remedies_leave_fewer_entries_and_say_what_they_cost(name: str) -> None:
    """What helps at once comes first, with a whole command; untracking is never offered where plan refuses it."""
    _, lines, beside, local = MADE[name]
    for cause in causes(case([*lines(), *(beside() if beside else ())], local=local)):
        assert cause.remedies
        order = [not remedy.now for remedy in cause.remedies]
        assert order == sorted(order)
        for remedy in cause.remedies:
            assert remedy.entries_after >= 0
            assert remedy.works_in
            assert remedy.costs
            assert remedy.how or not remedy.now
            if remedy.kind is RemedyKind.UNTRACK:
                assert remedy.title.split()[1] in ("inbound", "outbound", "loopback")


HEALTHY: dict[str, tuple[Lines, str]] = {
    "web server": (lambda: ordinary(2_000), OWN),
    "gateway of thirty clients": (lambda: household(2_000), NO_LOCAL),
    "resolver": (resolver, OWN),
    "time server": (time_server, OWN),
    "database pool": (pool, OWN),
    "web host with a cache": (closed, OWN),
    "Tor relay": (relay, OWN),
    "node with tunnels": (lambda: iter([*tunnels(), *ordinary(4_000)]), OWN),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_host_has_no_cause(name: str) -> None:
    """With room in its table, whatever it is busy with."""
    lines, local = HEALTHY[name]
    report = diagnose(case(lines(), maximum=262_144, local=local))
    assert (report.causes, report.verdict) == ((), Severity.OK)


def test_what_is_wrong_in_any_table_is_told_in_one_with_room() -> None:
    """An infected client and a full queue are warnings; a DHT, a leak, noise are told without one."""
    severities = {}
    for name in ("CT030", "CT033", "CT037", "CT044", "CT047"):
        _, lines, beside, local = MADE[name]
        severities[name] = causes(case([*lines(), *(beside() if beside else ())], maximum=262_144, local=local))[
            0
        ].severity
    assert severities == {
        "CT030": Severity.WARNING, "CT033": Severity.WARNING, "CT037": Severity.OK, "CT044": Severity.OK,
        "CT047": Severity.OK,
    }  # fmt: skip


RULE = Finding(
    "CT103", Severity.WARNING, "tcp dport 8080 is untracked in OUTPUT only", ("tcp/8080",), Place("rules.v4", 3)
)


def test_one_sided_notrack_needs_rules_that_show_it() -> None:
    """The same entries: with a rule about that port it is one-sided NOTRACK, with rules that have none it is the queue,
    and without rules the queue with the doubt told.
    """
    lines = list(full_queue())
    known, clean, unknown = (causes(case(lines, rules=rules))[0] for rules in (Rules((RULE,)), Rules(), None))
    assert [cause.code for cause in (known, clean, unknown)] == ["CT014", "CT033", "CT033"]
    assert "rules.v4:3" in known.evidence_for[1]
    assert clean.evidence_against == ()
    assert unknown.evidence_against == (
        "answers untracked by a rule in raw OUTPUT would look alike: give the rules too",
    )


def test_a_queue_seen_on_the_live_host_is_evidence() -> None:
    """129 wait where 128 may, and the program's name."""
    facts = host(listeners=(Listener(8_080, 129, 128, "shop (pid 7)"),))
    first = causes(case(full_queue(), facts=facts))[0]
    assert "its queue holds 129 of 128 (shop (pid 7))" in first.evidence_for
    assert first.who == ("shop (pid 7)",)


def test_nothing_is_idle_where_the_time_out_is_shorter() -> None:
    """All entries have 86,399 s left: used a second ago on a host that keeps them for a day."""
    lines = [entry("tcp", outside(n), OWN, 30_000 + n, 443, state="ESTABLISHED", left=86_399) for n in range(40)]
    report = diagnose(case(lines))
    assert report.causes == ()
    assert report.timeouts_seen == {"nf_conntrack_tcp_timeout_established": 86_400}


def test_untracking_is_not_offered_where_the_host_may_be_another() -> None:
    """Two hosts and nothing else: either may be this one; then no rule is proposed for the wrong one."""
    lines = [
        entry("tcp", "198.51.100.7", "198.51.100.8", 30_000 + n, 80, state="TIME_WAIT", left=100) for n in range(50)
    ]
    report = diagnose(case(lines, local=""))
    assert report.local_doubt
    assert RemedyKind.UNTRACK not in {remedy.kind for remedy in report.remedies}


def test_untracked_together_are_only_services_of_the_cause() -> None:
    """Short connections to a cache fill the table; the ssh sessions beside them are not its cause."""
    ssh = [entry("tcp", outside(n), OWN, 30_000 + n, 22, state="ESTABLISHED", left=431_000) for n in range(100)]
    report = diagnose(case([*closed(), *ssh]))
    titles = [remedy.title for remedy in report.remedies if remedy.kind is RemedyKind.UNTRACK]
    assert titles == ["untrack outbound tcp/11211 to 192.0.2.40"]


def test_where_nat_forbids_untracking_the_time_out_of_that_service_helps() -> None:
    """Short connections of forty clients behind NAT: no untracking, but TIME_WAIT of that port alone, and its cost."""
    lines = [
        entry("tcp", inside(n % 40), outside(n), 30_000 + n, 443, state="TIME_WAIT", left=1 + n % 119,
              translated=GATEWAY)
        for n in range(600)
    ]  # fmt: skip
    remedies = {remedy.kind: remedy for remedy in reversed(diagnose(case(lines, local="")).remedies)}
    assert RemedyKind.UNTRACK not in remedies
    alone = remedies[RemedyKind.SERVICE_TIMEOUT]
    assert (alone.title, alone.entries_after) == ("time_wait 30 s for tcp/443 alone", 145)
    assert all(remedy.works_in and remedy.costs for remedy in remedies.values())
    assert "'seconds = { time_wait = 30 }' 'accept_below_rfc = true' >" in alone.how[0]
    assert "RFC 5382" in alone.costs


def test_the_time_out_of_a_published_port_is_set_before_its_translation() -> None:
    """A policy names the port behind DNAT, which is not counted: nft's commands, with the host's other time-outs, which
    the object would not have else (K167).
    """
    lines = [
        entry("tcp", outside(n), OWN, 30_000 + n, 80, state="TIME_WAIT", left=1 + n % 119, answerer="172.17.0.2")
        for n in range(600)
    ]
    known = case(lines)
    known = replace(known, facts=replace(known.facts, timeouts={"nf_conntrack_tcp_timeout_established": 3_600}))
    (alone,) = (r for r in causes(known)[0].remedies if r.kind is RemedyKind.SERVICE_TIMEOUT)
    assert "established : 3600, " in alone.how[1]
    assert "time_wait : 30, " in alone.how[1]
    assert alone.how[-2].endswith("pre tcp dport 80 ct timeout set short")


def test_a_host_that_nobody_answers_is_told_with_the_doubt() -> None:
    """700 questions of this host's one port to as many ports, and not one answer: all of them counted, one client, and
    what else would look alike.
    """
    asked = [
        entry("udp", OWN, outside(n), 6_881, 1_024 + (n * 37) % 60_000, replied=False, left=1 + n % 29)
        for n in range(700)
    ]
    first = causes(case(asked))[0]
    assert (first.code, first.entries, first.who) == ("CT037", 700, (OWN,))
    assert "700 of 700 unanswered" in first.evidence_for
    assert first.evidence_against == (
        "nobody answers at all: a scan, or a firewall that drops the answers, looks alike",
    )


def test_broadcasts_are_not_promised_by_rules_for_own_addresses() -> None:
    """Plan's rules match what is for the host itself: no untracking of noise by service."""
    report = diagnose(case(neighbours()))
    assert RemedyKind.UNTRACK not in {remedy.kind for remedy in report.remedies}


def test_a_silent_server_of_many_private_clients_is_no_flood() -> None:
    """Sixty clients of a private network, one public server that does not answer: whether it is this host is not
    known, so neither a flood nor a full accept queue is claimed.
    """
    lines = [
        entry("tcp", inside(n), "203.0.113.9", 30_000 + n, 443, state="SYN_SENT", left=100, replied=False)
        for n in range(60)
    ]
    report = diagnose(case(lines, local="", maximum=10_000))
    assert report.local_doubt
    assert [(cause.code, cause.severity) for cause in report.causes] == [("CT013", Severity.OK)]
