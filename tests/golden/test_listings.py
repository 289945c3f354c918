"""docs/listings.md has each form of a listing, with an example, and all examples are the same two entries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conntrim.app.census import take_census
from conntrim.app.diagnose import Request, diagnose_source
from conntrim.core.model.address import parse_address
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.intervals import Intervals
from conntrim.host.flow_files import FileFlows
from conntrim.host.inputs import read_inputs
from tests.fakes.kernel_log import FakeKernelLog

HERE = Path(__file__).parent / "listings"
PAGE = (Path(__file__).parents[2] / "docs/listings.md").read_text()
EXAMPLES = re.findall(r"^\| .* \| `([\w.-]+)` \|", PAGE, re.M)
TABLES = [name for name in EXAMPLES if name != "events.txt"]


def test_the_page_has_all_examples() -> None:
    """No form without an example, no example that stands nowhere."""
    assert sorted(EXAMPLES) == sorted(path.name for path in HERE.iterdir())


@pytest.mark.parametrize("name", TABLES)
def test_each_form_has_the_same_two_entries(name: str) -> None:
    """Both are read, no line is bad, nothing is missing; and the file is known as a listing."""
    path = str(HERE / name)
    local = Intervals.of(*([] if name == "redacted.txt" else [parse_address("192.0.2.18")]))
    census = take_census(FileFlows(path), Viewpoint(local), 20)
    assert {(row.key, row.entries, row.unreplied) for row in census.ports.rows} == {("tcp/443", 1, 0), ("udp/53", 1, 1)}
    assert (census.total, census.bad_lines, census.incomplete) == (2, 0, False)
    assert read_inputs([path]).listing == path


def test_names_stand_for_the_same_address_everywhere() -> None:
    """The redacted host is one end of both entries; the note says what stands for what."""
    census = take_census(FileFlows(str(HERE / "redacted.txt")), None, 20)
    server, client = census.servers.rows, census.clients.rows
    assert {row.key for row in server} & {row.key for row in client} == set(census.local)
    assert f"x.x.x.18 is {census.local[0]}" in census.remarks[0]


def test_events_are_rates() -> None:
    """Two came and one went in two seconds."""
    inputs = read_inputs([str(HERE / "events.txt")])
    events = diagnose_source(Request(), FakeKernelLog(), None, inputs).events
    assert events is not None
    assert (events.new, events.destroyed, events.seconds) == (2, 1, 2.0)
    assert dict(events.ports) == {"udp/53": 1, "tcp/443": 1}
