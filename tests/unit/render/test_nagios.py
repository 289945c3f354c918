"""The plugin's output: verdict, summary and performance data as the plugin interface has them."""

from __future__ import annotations

import re
from dataclasses import replace

from conntrim.core.diagnose.case import Case, Thresholds
from conntrim.core.diagnose.report import diagnose
from conntrim.render.nagios import nagios_text
from tests.unit.core.diagnose.cases import INCIDENT, host

MARKS = Thresholds(70, 85)
DATUM = re.compile(r"[a-z_]+=-?\d+(\.\d+)?(%|c|B)?(;(\d+)?){0,4}")


def test_the_first_line_has_each_number_with_its_marks() -> None:
    """A full table with two readings: marks in entries and per cent, counters as such, rates, memory."""
    text = nagios_text(diagnose(replace(INCIDENT, thresholds=MARKS)), MARKS)
    told, bar, data = text.splitlines()[0].partition(" | ")
    assert told == "CRITICAL - table full: 65,000 of 65,000 entries, 1,093 packets dropped"
    assert bar
    assert data.startswith("entries=65000;45500;55250;0;65000 fill=100.00%;70;85;0;100 drop=1093c;;;0 ")
    assert all(DATUM.fullmatch(datum) for datum in data.split())
    assert {datum.partition("=")[0] for datum in data.split()} >= {"drop_per_second", "growth_per_second", "memory"}


def test_what_is_not_known_is_no_number() -> None:
    """Neither entries nor fill are given where nobody could read them; the counters are."""
    nothing = host(count=None, max=None)
    line = nagios_text(diagnose(Case(nothing, None, None, MARKS)), MARKS).splitlines()[0]
    assert line.startswith("OK - an unknown number of entries, no packet dropped | drop=0c;;;0 ")
    assert "entries=" not in line
    assert "fill=" not in line
