"""The report on one screen, as whole transcripts."""

from __future__ import annotations

import shlex
from dataclasses import replace

from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.registry import causes
from conntrim.core.diagnose.report import diagnose
from conntrim.core.model.facts import NamespaceUse, Overflow, Setting
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.service import Direction, Service
from conntrim.render.diagnose import command_lines, diagnosis_text
from tests.unit.core.diagnose.cases import FULL, INCIDENT, WEB, census, host, later, service, state, table
from tests.unit.core.diagnose.listings import case as made_case
from tests.unit.core.diagnose.test_causes import MADE

DOCUMENT = """\
CRITICAL - table full: 65,000 of 65,000 entries, 1,093 packets dropped
Host        this kernel (6.18.0), net:[4026531840]
Table       65,000 of 65,000 entries (100.0 %), room for 0
Drops       1,093 packets since boot, 93/s now (two readings, 1.0 s apart)
Growth      0/s; full now
Chains      2.0 tuples a bucket, 2.0 when full (2 an entry, 65,536 buckets)
Memory      20.3 MB now, 20.3 MB when full (320 bytes an entry)
Log         2 lines "table full", first 15 min ago, last 11 s ago
Who fills it
  outbound tcp/11211 to 192.168.0.17         40,211  61.9%  100 % tcp time_wait
  inbound tcp/80                             24,000  36.9%  83 % tcp time_wait
  outbound tcp/3306 to 192.168.0.17             789   1.2%  100 % tcp established
Why
!  CT010 92.6 % short-lived connections
        60,211 entries of connections that have ended; outbound tcp/11211:
        40,211 of 40,211 in time_wait; inbound tcp/80: 20,000 of 24,000 in ...
What else is not right
!  CT020 nf_conntrack_max is 65,000, not 262,144 (/etc/sysctl.d/90-ct.conf:3)
        the last file says 262,144; by hand, or the file was applied before the
        module was loaded
What helps                                                        entries after
 1 enlarge: max 262,144, buckets 262,144, 82.0 MB when full              76,160
     sysctl -w net.netfilter.nf_conntrack_max=262144
     sysctl -w net.netfilter.nf_conntrack_buckets=262144
     (at once; 82.0 MB of memory when full)
 2 untrack these 2 services together                                        789
     (when applied, old entries are deleted too; rules no longer see its state)
 3 keep-alive: 100 requests a connection                                  5,391
     (when the program starts anew; connections that wait at the server)
 4 untrack outbound tcp/11211 to 192.168.0.17                            24,789
 5 tcp_timeout_time_wait 120 -> 30 s                                     24,789
     sysctl -w net.netfilter.nf_conntrack_tcp_timeout_time_wait=30
     (within 120 s, as entries are touched; longer silence may be cut)
 6 untrack inbound tcp/80                                                41,000
What does not
   tcp_timeout_established 432,000 -> 7,440 s                            65,000
"""

QUIET = """\
OK - 61 of 262,144 entries, no packet dropped
Host        this kernel (6.18.0), namespace web, net:[4026531840]
Table       61 of 262,144 entries (< 0.1 %), room for 262,083
Drops       0 packets since boot, 0/s now (two readings, 1.0 s apart)
Growth      0/s; not filling
Chains      0.0 tuples a bucket, 2.0 when full (2 an entry, 262,144 buckets)
Memory      2.0 MB now, 82.0 MB when full (320 bytes an entry)
Namespaces  web 61; initial 3 (7 dropped)
What else is not right
   CT009 namespace initial was full
        3 entries of 262,144; 7 packets dropped
Not known   the kernel log could not be read: /dev/kmsg: Operation not
            permitted
"""


def test_the_documents_incident() -> None:
    """The whole report of a full table: verdict, numbers, who, why, what helps and what does not."""
    text = "nf_conntrack: table full, dropping packet"
    lines = (Overflow("/dev/kmsg", 1, text, 101.0, None), Overflow("/dev/kmsg", 2, text, 990.0, None))
    settings = (Setting("net.netfilter.nf_conntrack_max", "262144", "/etc/sysctl.d/90-ct.conf", 3),)
    case = replace(INCIDENT, facts=replace(FULL, overflows=lines, settings=settings))
    assert diagnosis_text(diagnose(case)) == DOCUMENT


def test_a_quiet_host() -> None:
    """Nothing wrong here, a neighbour that lost packets is told; no remedies; what could not be read is said."""
    facts = host(
        namespace="web",
        namespaces=(NamespaceUse("web", 4_026_531_840, 61, 0), NamespaceUse("initial", 2, 3, 7)),
        remarks=("the kernel log could not be read: /dev/kmsg: Operation not permitted",),
    )
    assert diagnosis_text(diagnose(Case(facts, later(facts)))) == QUIET


def test_the_worst_case_stays_on_one_screen() -> None:
    """Everything wrong at once, long names included: at most 62 lines of 79 columns, and no line is lost silently."""
    services = [
        service(
            Service(Direction.INBOUND, 6, port),
            state("tcp time_wait", 97), state("tcp close_wait", 61), state("udp unreplied", 41, 7_200),
            unreplied=41, picked_up=97,
        )
        for port in range(10_000, 10_030)
    ]  # fmt: skip
    facts = host(
        count=1_000_000_000, max=1_000_000_000, buckets=65_536, drop=10**9, chaintoolong=10**9, insert_failed=2 * 10**9,
        early_drop=10**9, remarks=tuple(f"remark {n} " + "x " * 60 for n in range(9)),
        settings=tuple(Setting("net.ipv4.ip_conntrack_max", str(n), f"/etc/{'long' * 20}{n}", n) for n in range(9)),
        namespaces=tuple(NamespaceUse(f"namespace-{n}", n, 10**9, 10**9) for n in range(99)),
    )  # fmt: skip
    grown = later(facts, drop=10**6, chaintoolong=10**6, insert_failed=10**6)
    text = diagnosis_text(diagnose(table(facts, *services, after=grown)))
    assert max(map(len, text.splitlines())) <= 79
    assert len(text.splitlines()) <= 62
    assert "more (--json)" in text
    assert text.count("CT009") == 2
    _, _, why = text.partition("Why\n")
    assert why.startswith("!  CT036 ")


def test_unknown_when_nothing_tells() -> None:
    """No max, no counters, no log: UNKNOWN, and how to make it known."""
    facts = host(max=None, count=None)
    blind = replace(facts, counters=type(facts.counters)())
    report = diagnose(
        Case(blind, None, census(service(Service(Direction.INBOUND, 6, 80), state("tcp established", 61))))
    )
    assert (report.verdict, report.summary) == (Severity.UNKNOWN, "61 entries, max is not known (--max)")


def test_the_first_line_fits() -> None:
    """A second clause that does not fit is left out, not cut."""
    facts = host(namespaces=(NamespaceUse("n" * 60, 5, 262_144, 0),))
    report = diagnose(Case(facts))
    assert isinstance(report.findings[0], Finding)
    assert (report.verdict, report.summary) == (Severity.WARNING, "61 of 262,144 entries")


def test_entries_counted_but_not_listed() -> None:
    """The kernel counts entries whose time is up: a difference that is more than chance is told."""
    taken = census(service(WEB, state("tcp established", 100)))
    counted = [diagnose(Case(host(count=count), None, taken)).remarks for count in (109, 110)]
    told = "10 entries counted but not listed: timed out and not yet removed, or gone meanwhile"
    assert counted == [(), (told,)]


def test_no_code_crowds_out_the_others() -> None:
    """Seven full namespaces: two of them are shown beside the long chains they make."""
    uses = tuple(NamespaceUse(f"n{n}", n, 262_144, 0) for n in range(7))
    text = diagnosis_text(diagnose(Case(host(namespaces=uses))))
    assert (text.count("CT009"), "   and 5 more (--json)" in text) == (2, True)


def test_long_commands_stay_what_they_are() -> None:
    """Every command of every cause's remedies, in lines of 74 columns, is the same words to a shell."""
    commands = {
        how
        for _, lines, beside, local in MADE.values()
        for cause in causes(made_case([*lines(), *(beside() if beside else ())], local=local))
        for remedy in cause.remedies
        for how in remedy.how
    }
    assert max(map(len, commands)) > 100
    for command in commands:
        lines = list(command_lines(command, 74))
        assert max(map(len, lines)) <= 76
        if command.split()[0] in ("nft", "iptables", "conntrack", "sysctl"):
            assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)  # as a shell does
