"""Each check, on a case made to show it and on one made not to."""

from __future__ import annotations

import pytest

from conntrim.core.diagnose.case import Case, Thresholds
from conntrim.core.diagnose.manual import PAGES, page_of
from conntrim.core.diagnose.registry import CHECKS, findings
from conntrim.core.model.facts import Counters, NamespaceUse, Overflow, Setting
from conntrim.core.model.finding import Finding, Severity
from tests.unit.core.diagnose.cases import INCIDENT, host, later

OK, WARNING, CRITICAL = Severity.OK, Severity.WARNING, Severity.CRITICAL


def found(case: Case) -> dict[str, Finding]:
    """The findings of a case by code."""
    return {finding.code: finding for finding in findings(case)}


def severities(case: Case) -> dict[str, Severity]:
    """The codes of a case and how bad each is."""
    return {code: finding.severity for code, finding in found(case).items()}


@pytest.mark.parametrize(
    ("count", "severity"), [(749, None), (750, WARNING), (899, WARNING), (900, CRITICAL), (1_000, CRITICAL)]
)
def test_fill_against_its_thresholds(count: int, severity: Severity | None) -> None:
    """75 % warns and 90 % is critical, from exactly there on."""
    assert severities(Case(host(count=count, max=1_000))).get("CT001") == severity


def test_the_operators_own_thresholds() -> None:
    """`-w 50 -c 60` moves both marks."""
    case = Case(host(count=55, max=100), thresholds=Thresholds(50, 60))
    assert severities(case) == {"CT001": WARNING}


def test_no_limit_is_never_full() -> None:
    """max 0 means unlimited (K27): a warning of its own, and no division by it."""
    assert severities(Case(host(max=0))) == {"CT024": WARNING}


def test_drops_that_go_on_are_critical_and_old_ones_warn() -> None:
    """A growing counter is critical; one that stands still is a warning that says so."""
    facts = host(drop=1_093)
    assert severities(Case(facts, later(facts, drop=1))) == {"CT002": CRITICAL}
    quiet = found(Case(facts, later(facts)))["CT002"]
    assert (quiet.severity, quiet.title) == (WARNING, "1,093 packets dropped, none of them now")


def test_drops_of_a_full_table_are_its_consequence() -> None:
    """In a full table the drops name CT001 as their cause, and that names what fills the table."""
    shown = {finding.code: finding for finding in findings(INCIDENT, "CT010")}
    assert (shown["CT002"].caused_by, shown["CT001"].caused_by) == ("CT001", "CT010")


def line(seconds: float | None = 990.0, netns: int | None = None, when: str = "") -> Overflow:
    """A log line."""
    return Overflow("/dev/kmsg", 7, "nf_conntrack: table full, dropping packet", seconds, netns, when)


def test_log_lines_of_this_namespace_only() -> None:
    """A line that names another namespace is told as that namespace's, one that names none counts for ours (K26)."""
    facts = host(drop=2, overflows=(line(), line(netns=4_026_531_840), line(netns=7)))
    shown = found(Case(facts))
    assert shown["CT003"].title == "the kernel log tells of a full table, 2 lines"
    assert shown["CT009"].title == "the log tells of full tables in 1 namespace now gone"


def test_log_times_as_exact_as_the_log_has_them() -> None:
    """The ring buffer's clock is ours: ten seconds ago. A wall clock is told as printed."""
    facts = host(drop=2, overflows=(line(), line(when="Apr 14 22:31:12")))
    assert found(Case(facts))["CT003"].evidence[:2] == ("first 10 s ago", "last Apr 14 22:31:12")


def test_a_log_file_may_be_of_an_earlier_boot() -> None:
    """No packet dropped since boot: a file's lines are old news and no warning, the ring buffer's are not ours."""
    old = Overflow("/var/log/messages", 7, "nf_conntrack: table full, dropping packet", None, None, "Apr 14 22:31:12")
    shown = found(Case(host(overflows=(line(), old))))["CT003"]
    assert (shown.severity, shown.evidence[0], shown.evidence[-1]) == (OK, "first Apr 14 22:31:12", "before this boot")


def test_growth_that_fills_the_table_within_the_hour() -> None:
    """1,000 entries a second into 262,144: full in 4.3 minutes."""
    facts = host(count=1_000)
    case = Case(facts, later(facts, 2.0, count=3_000))
    assert found(case)["CT004"].title == "full in 4.3 min at the present rate"


@pytest.mark.parametrize("count", [1_008, 1_050, 900])
def test_slow_growth_is_no_finding(count: int) -> None:
    """Chance, growth that takes longer than an hour, and shrinking are silent."""
    facts = host(count=1_000)
    assert severities(Case(facts, later(facts, count=count))) == {}


def test_chains_count_both_tuples() -> None:
    """K28: 40,000 entries in 16,384 buckets are 4.9 tuples a bucket, though only 2.4 entries."""
    shown = found(Case(host(count=40_000, buckets=16_384)))["CT005"]
    assert shown.evidence[0] == "4.9 tuples in a bucket: 2 x 40,000 / 16,384"
    assert severities(Case(host(count=32_000, buckets=16_384))) == {}


def test_all_namespaces_share_the_hash() -> None:
    """K25: 61 entries of ours and 40,000 of a neighbour make long chains for both."""
    uses = (NamespaceUse("", 4_026_531_840, 61, 0), NamespaceUse("b", 12, 40_000, 0))
    case = Case(host(buckets=16_384, namespaces=uses))
    assert case.chain == 2 * 40_061 / 16_384


def test_log_lines_about_an_earlier_namespace_of_that_number() -> None:
    """Numbers of namespaces are used again: one that never dropped a packet never was full."""
    uses = (NamespaceUse("b", 12, 3, 0), NamespaceUse("c", 13, 3, None))
    case = Case(host(overflows=(line(netns=4_026_531_840), line(netns=12), line(netns=13)), namespaces=uses))
    assert [(f.code, f.title) for f in findings(case)] == [("CT009", "namespace c was full")]


def test_refused_chains_are_no_lost_races() -> None:
    """insert_failed counts refusals for a long chain too: only what is beyond them is a race."""
    facts = host(chaintoolong=7, insert_failed=7)
    assert severities(Case(facts, later(facts))) == {"CT006": WARNING}
    facts = host(chaintoolong=7, insert_failed=18)
    assert found(Case(facts, later(facts)))["CT007"].title == "11 insertions lost a race"


def test_refusals_and_races_that_go_on() -> None:
    """Growing refusals are critical, growing races a warning."""
    facts = host(chaintoolong=7, insert_failed=18)
    case = Case(facts, later(facts, chaintoolong=1, insert_failed=6))
    assert severities(case) == {"CT006": CRITICAL, "CT007": WARNING}


def test_early_drop_that_goes_on_is_a_warning() -> None:
    """Entries thrown out long ago are only told."""
    facts = host(early_drop=5)
    assert severities(Case(facts, later(facts))) == {"CT008": OK}
    assert severities(Case(facts, later(facts, early_drop=1))) == {"CT008": WARNING}


def test_each_namespace_against_the_one_max() -> None:
    """K25: max holds for each: a full one warns, one that lost packets is told, a quiet one is silent."""
    uses = (
        NamespaceUse("a", 11, 250_000, 0), NamespaceUse("b", 12, 3, 61), NamespaceUse("c", 13, 3, 0),
        NamespaceUse("", 4_026_531_840, 61, 0),
    )  # fmt: skip
    shown = [f for f in findings(Case(host(namespaces=uses))) if f.code == "CT009"]
    assert [(f.severity, f.title) for f in shown] == [(WARNING, "namespace a is full"), (OK, "namespace b was full")]


def test_a_namespace_asked_for_by_name_has_its_own_verdict() -> None:
    """Another namespace's full table is told, but does not warn about this one."""
    uses = (NamespaceUse("a", 11, 250_000, 0),)
    assert severities(Case(host(namespaces=uses, namespace="web"))) == {"CT009": OK}


def conf(value: int, key: str = "net.netfilter.nf_conntrack_max", source: str = "/etc/sysctl.d/90-ct.conf") -> Setting:
    """One line of a sysctl file."""
    return Setting(key, str(value), source, 3)


def test_who_overrides_the_sysctl() -> None:
    """The running max is not the last file's: kube-proxy's own number, a program that runs, or by hand (K42)."""
    kube = found(Case(host(settings=(conf(1_000_000),), cpus=8)))["CT020"]
    tuned = found(Case(host(settings=(conf(1_000_000),), programs=("tuned",))))["CT020"]
    hand = found(Case(host(settings=(conf(1_000_000),))))["CT020"]
    assert kube.title == "nf_conntrack_max is 262,144, not 1,000,000"
    assert str(kube.place) == "/etc/sysctl.d/90-ct.conf:3"
    assert [f.evidence[1] for f in (kube, tuned, hand)] == [
        "kube-proxy's own value for 8 cores",
        "likely tuned, which runs here and sets it",
        "by hand, or the file was applied before the module was loaded",
    ]


def test_hashsize_as_the_one_who_overrides() -> None:
    """A max of 8 x hashsize tells that no sysctl was applied after the module (K27)."""
    option = Setting("nf_conntrack.hashsize", "32768", "/etc/modprobe.d/ct.conf", 1)
    shown = found(Case(host(settings=(conf(65_536), option))))["CT020"]
    assert shown.evidence[1] == "8 x hashsize of /etc/modprobe.d/ct.conf:1: no sysctl was applied after the module"


def test_the_last_file_counts_and_the_rest_is_told() -> None:
    """The live value agrees with the last assignment: no override, but the two files contradict each other."""
    settings = (conf(65_000, source="/etc/sysctl.d/10-a.conf"), conf(262_144))
    shown = found(Case(host(settings=settings)))
    assert list(shown) == ["CT023"]
    assert shown["CT023"].evidence == ("/etc/sysctl.d/10-a.conf:3 says 65000",)


def test_the_other_name_of_max() -> None:
    """net.nf_conntrack_max is the same setting."""
    assert "CT020" in found(Case(host(settings=(conf(7, "net.nf_conntrack_max"),))))


def test_time_outs_are_compared_too() -> None:
    """A time-out that a file sets and that is not in force."""
    key = "net.netfilter.nf_conntrack_tcp_timeout_time_wait"
    facts = host(settings=(conf(30, key),), timeouts={"nf_conntrack_tcp_timeout_time_wait": 120})
    assert found(Case(facts))["CT020"].title == "nf_conntrack_tcp_timeout_time_wait is 120, not 30"


def test_the_factor_eight_trap() -> None:
    """hashsize=32768 with no sysctl made max 262,144; with a sysctl there is no trap."""
    option = Setting("nf_conntrack.hashsize", "32768", "/etc/modprobe.d/ct.conf", 1)
    assert found(Case(host(settings=(option,))))["CT021"].title == "max is 8 x hashsize = 262,144, set by no sysctl"
    assert severities(Case(host(settings=(option, conf(262_144))))) == {}


def test_keys_of_the_old_era_do_nothing() -> None:
    """The document's lines on a kernel of today, and what they are called now."""
    old = Setting("net.ipv4.netfilter.ip_conntrack_tcp_timeout_established", "1000", "/etc/sysctl.conf", 3)
    shown = found(Case(host(settings=(conf(855_360, "net.ipv4.ip_conntrack_max"), old))))
    assert shown["CT022"].evidence == ("its name today is net.netfilter.nf_conntrack_tcp_timeout_established",)


def test_memory_at_max() -> None:
    """Ten million entries are 3.1 GB: too much of 8 GB; a quarter of a million is not."""
    shown = found(Case(host(max=10_000_000)))["CT024"]
    assert shown.evidence == ("3.0 GB of 8.0 GB", "37.3 %")


def test_a_quiet_host_has_no_findings() -> None:
    """61 entries, no drops, no settings: nothing to say."""
    assert severities(Case(host(), later(host()))) == {}


def test_unknown_counters_are_no_findings() -> None:
    """A kernel that tells no counters is not said to have lost none, nor some."""
    assert severities(Case(host(counters=Counters()), later(host()))) == {}


def test_codes_are_unique_and_in_order() -> None:
    """A code means one check."""
    codes = [check.code for check in CHECKS]
    assert codes == sorted(set(codes))
    assert len(codes) == len({check.name for check in CHECKS})


def test_the_manual_of_a_finding() -> None:
    """By its code in any case, or by its name."""
    assert [page_of(name) for name in ("ct001", "Table-Full", "CT999")] == [PAGES[0], PAGES[0], None]


def test_the_worst_comes_first() -> None:
    """The report begins with what is critical."""
    order = [finding.severity for finding in findings(INCIDENT)]
    assert order == sorted(order, reverse=True)
