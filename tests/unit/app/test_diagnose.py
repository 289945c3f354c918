"""The verb puts facts, log and census together, and says what it could not get."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from conntrim.app.census import Taken, take_table
from conntrim.app.diagnose import Request, diagnose_kernel, diagnose_source, ports_of, timeouts_of
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.errors import HostError, InputError
from conntrim.core.model.facts import Era
from conntrim.core.model.finding import Severity
from conntrim.core.model.intervals import Intervals
from conntrim.host.flow_files import FileFlows
from conntrim.host.inputs import read_inputs
from conntrim.host.kernel_log import HostKernelLog
from tests.fakes.facts import HEALTHY, FakeFacts
from tests.fakes.kernel_log import FakeKernelLog
from tests.unit.core.diagnose.cases import WEB, census, later, service, specimen, state

FULL_LINE = "Apr 14 22:31:12 cache kernel: ip_conntrack: table full, dropping packet.\n"
ONE = census(service(WEB, state("tcp established", 61)))
TAKEN = Taken(ONE, specimen(service(WEB, state("tcp established", 61))))


def ours(viewpoint: Viewpoint) -> Taken:
    """The census of the kernel."""
    return TAKEN


def denied(viewpoint: Viewpoint) -> Taken:
    """A kernel that does not let us dump the table."""
    raise HostError("netlink, reading the table", "Operation not permitted", advice="this needs root (CAP_NET_ADMIN)")


def test_two_readings_an_interval_apart() -> None:
    """The second reading is asked for the interval after the first one's own clock, and gives the rates."""
    facts = FakeFacts(readings=[later(HEALTHY, 2.5, drop=5)])
    report = diagnose_kernel(Request(interval=2.5), facts, FakeKernelLog({"": ""}), ours)
    assert (facts.asked, report.figures.drop_per_second, report.verdict) == ([1_002.5], 2.0, Severity.CRITICAL)


def test_one_reading_gives_no_rates() -> None:
    """Interval 0: no waiting, and no rate is claimed."""
    facts = FakeFacts()
    report = diagnose_kernel(Request(interval=0), facts, FakeKernelLog({"": ""}), ours)
    assert (facts.asked, report.figures.drop_per_second, report.figures.span) == ([], None, None)


def test_what_is_denied_is_a_remark() -> None:
    """Without permission for the table and the log the numbers still give a verdict."""
    report = diagnose_kernel(Request(interval=0), FakeFacts(), FakeKernelLog(), denied)
    assert report.verdict is Severity.OK
    assert [remark.split(":")[0] for remark in report.remarks] == [
        "the kernel log could not be read",
        "who fills the table is not known",
    ]


def test_a_kernel_without_conntrack() -> None:
    """Nothing can be said: the error goes up."""
    with pytest.raises(HostError, match="no conntrack"):
        diagnose_kernel(Request(), FakeFacts(missing=True), FakeKernelLog(), ours)


def test_a_log_that_is_not_there_is_the_operators_error() -> None:
    """A file named with --log has to be there."""
    with pytest.raises(InputError):
        diagnose_kernel(Request(log="nope"), FakeFacts(), FakeKernelLog(), ours)


@pytest.mark.parametrize(
    ("source", "log", "era"),
    [("ip_conntrack", "", Era.IP), ("table.txt", FULL_LINE, Era.IP), ("nf_conntrack", "", Era.NF)],
)
def test_the_era_of_a_saved_table(source: str, log: str, era: Era) -> None:
    """By the file's name or the log's wording."""
    taken = replace(TAKEN, census=replace(ONE, source=source))
    report = diagnose_source(Request(log="log"), FakeKernelLog({"log": log}), lambda: taken)
    assert report.era is era


def test_a_saved_table_with_its_size() -> None:
    """61 entries of 65 are critical; without --max and log it is not known."""
    log = FakeKernelLog()
    known = diagnose_source(Request(max=65, buckets=64), log, lambda: TAKEN)
    unknown = diagnose_source(Request(), log, lambda: TAKEN)
    assert (known.verdict, unknown.verdict) == (Severity.CRITICAL, Severity.UNKNOWN)


def test_a_saved_table_whose_log_tells() -> None:
    """The log is the best witness there is: critical, with its time."""
    report = diagnose_source(Request(log="log"), FakeKernelLog({"log": FULL_LINE}), lambda: TAKEN)
    assert (report.verdict, report.figures.log_first) == (Severity.CRITICAL, "Apr 14 22:31:12")


def test_files_of_one_host_together(tmp_path: Path) -> None:
    """A listing, settings, statistics and a log, told apart by content: size, time-outs, drops, the log's lines and how
    many more there would have been; and a time-out that the listing alone would have had wrong.
    """
    files = {
        "a": "".join(
            f"tcp 6 {7_190 - n} ESTABLISHED src=203.0.113.{n} dst=192.0.2.18 sport={40_000 + n} dport=5222 "
            f"src=192.0.2.18 dst=203.0.113.{n} sport=5222 dport={40_000 + n} [ASSURED] mark=0 use=1\n"
            for n in range(100)
        ),
        "b": "net.netfilter.nf_conntrack_max = 100\nnet.netfilter.nf_conntrack_tcp_timeout_established = 86400\n",
        "c": "cpu=0 found=11 invalid=7 insert=0 insert_failed=0 drop=61 early_drop=0 error=0 search_restart=0\n",
        "d": "[  100.000000] nf_conntrack: table full, dropping packet\n"
        "[  110.000000] net_ratelimit: 700 callbacks suppressed\n"
        "[  120.000000] net_ratelimit: 300 callbacks suppressed\n"
        "[  130.000000] nf_conntrack: expectation table full\n",
    }
    for name, text in files.items():
        tmp_path.joinpath(name).write_text(text)
    inputs = read_inputs([str(tmp_path / name) for name in files])
    viewpoint = Viewpoint(Intervals(), ports_of(inputs), timeouts_of(inputs), saved=True)
    report = diagnose_source(
        Request(), HostKernelLog(), lambda: take_table(FileFlows(inputs.listing or ""), viewpoint, 200), inputs
    )
    assert (report.figures.max, report.figures.drop, report.figures.log_lines) == (100, 61, 1)
    assert [cause.code for cause in report.causes] == ["CT011"]
    codes = {finding.code: finding for finding in report.findings}
    assert codes["CT003"].evidence[-1] == "1,000 more messages suppressed, 100/s"
    assert codes["CT054"].title == "the table of expected connections was full, 1 log line"


def test_a_second_listing_is_refused(tmp_path: Path) -> None:
    """Two tables are two hosts, or one counted twice."""
    for name in "ab":
        tmp_path.joinpath(name).write_text("nobody knows\n")
    with pytest.raises(InputError, match="a second listing"):
        read_inputs([str(tmp_path / name) for name in "ab"])
