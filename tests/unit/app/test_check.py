"""The verb check: when it reads the table, and from where it looks at it."""

from pathlib import Path

from conntrim.app.check import Host, check
from conntrim.core.diagnose.rulesets.met import COLUMNS
from conntrim.core.model.address import parse_address
from conntrim.core.model.flows import FlowTable
from conntrim.core.model.intervals import Intervals
from conntrim.core.parse.ruleset import read
from conntrim.host.flow_files import FileFlows
from tests.fakes.flows import FakeFlows
from tests.fakes.rulesets import FakeRulesets

HOSTS = Path(__file__).parents[2] / "golden" / "hosts"
WEB = Intervals.of(parse_address("192.168.0.18"))


def source(name: str) -> FakeRulesets:
    """One of the document's rule sets."""
    return FakeRulesets(read((HOSTS / f"{name}.save").read_text(), name))


def blocks() -> list[FlowTable]:
    """The web server's table."""
    return list(FileFlows(str(HOSTS / "web.ip_conntrack")).blocks(COLUMNS))


def test_without_notrack_no_table_is_read() -> None:
    """A firewall alone has nothing that an entry could meet."""
    flows = FakeFlows(blocks())
    assert (0, 0) == (len(check(source("rh-firewall"), Host(WEB, flows)).findings), flows.handed_out)


def test_named_addresses_are_not_guessed() -> None:
    """With --local nothing is guessed, without it the guess is said."""
    told, guessed = (check(source("web-useless"), Host(local, FakeFlows(blocks()))) for local in (WEB, Intervals()))
    assert ((), ("the host's own addresses, guessed from fake: 192.168.0.18",)) == (told.remarks, guessed.remarks)
    assert [["CT108", "CT108", "CT102"]] * 2 == [[f.code for f in found.findings] for found in (told, guessed)]


def test_an_empty_table_says_nothing() -> None:
    """No entry, no guess, no finding about entries."""
    found = check(source("web-useless"), Host(Intervals(), FakeFlows([])))
    assert (["CT102"], ()) == ([f.code for f in found.findings], found.remarks)
