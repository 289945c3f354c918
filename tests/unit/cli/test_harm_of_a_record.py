"""The verb `plan` on a record: what its readings tell of new time-outs, and its facts and rules of everything else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conntrim.core.model.address import format_address
from conntrim.core.model.facts import Counters
from conntrim.core.model.intervals import Intervals
from conntrim.store.record import RecordWriter
from tests.unit.cli.test_plan import HOSTS, code
from tests.unit.core.census.flows import HERE
from tests.unit.core.census.panel.made import frames, steady
from tests.unit.store.test_record import OPEN, READING, facts, written

POLICY = '[[timeout]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\nseconds = { established = 7440 }\n'


def test_the_readings_of_a_record_tell_of_a_time_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten seconds of entries whose last packet is at most two minutes ago: none was cut, by the rule of three, in JSON
    and in text; without --again nobody looked."""
    written(tmp_path / "r")
    (tmp_path / "policy.toml").write_text(POLICY)
    argv = ["plan", str(tmp_path / "r"), "--policy", str(tmp_path / "policy.toml"), "--ruleset"]
    argv += [str(HOSTS / "rh-firewall.save"), "--local", format_address(HERE)]
    code([*argv, "--again", "10", "--json"])
    (told,) = json.loads(capsys.readouterr().out)["harm"]
    assert (told["what"], told["seconds"], told["watched"], told["cut"]) == ("inbound tcp/80", 7_440, 10.0, 0)
    assert told["most_per_hour"] == 1_080.0
    code([*argv, "--again", "10"])
    assert "may be cut: inbound tcp/80: of " in capsys.readouterr().out
    code([*argv, "--json"])
    assert json.loads(capsys.readouterr().out)["harm"][0]["most_per_hour"] is None


def test_a_saved_table_has_one_reading(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It stays as it is: --again is refused."""
    (tmp_path / "policy.toml").write_text(POLICY)
    table = str(HOSTS / "web.ip_conntrack")
    argv = ["plan", table, "--policy", str(tmp_path / "policy.toml"), "--ruleset", str(HOSTS / "rh-firewall.save")]
    assert code([*argv, "--again", "3"]) == 2
    assert "a saved table stays as it is" in capsys.readouterr().err


def test_a_record_of_another_host_tells_its_rules_and_its_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its 1,198 entries are most of its own max, so port 80 goes untracked, in the dialect of the rules that it holds;
    of two drops in five seconds the prediction is told. Such a plan carries no host."""
    mine, drops = Intervals.of((HERE, HERE)), Counters({"drop": 5}, "made")
    full = replace(facts(), local=mine, max=1_300, count=1_200, seconds=0.0, counters=drops)
    written(tmp_path / "full", told=full, rules=OPEN.replace("COMMIT", "-A INPUT -p tcp --dport 80 -j ACCEPT\nCOMMIT"))
    assert code(["plan", str(tmp_path / "full"), "--json"]) == 1
    made = json.loads(capsys.readouterr().out)
    assert made["dialect"] == "iptables-legacy"
    assert [entry["ports"]["ranges"] for entry in made["policy"]["untrack"]] == [[[80, 80]]]
    assert made["circumstances"]["host"] == ""
    assert [r for r in made["remarks"] if "refuses 0.4 arrivals a second" in r]
    assert [r for r in made["remarks"] if r.startswith("recorded in ") and "carries no host" in r]


def test_a_record_of_a_table_with_room_asks_for_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of max is more than what is there, and the policy asks for the size alone that the record shows."""
    written(tmp_path / "r", told=replace(facts(), max=65_536, count=1_200))
    (tmp_path / "policy.toml").write_text("[table]\nmax = 65536\n")
    code(["plan", str(tmp_path / "r"), "--policy", str(tmp_path / "policy.toml"), "--json"])
    made = json.loads(capsys.readouterr().out)
    assert made["settings_before"] == {"net.netfilter.nf_conntrack_max": 65_536}


@pytest.mark.parametrize("rows", [None, 500])
def test_a_record_is_planned_for_as_it_was_fullest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: int | None
) -> None:
    """A table of some 1,200 entries empties to some 200 while it is recorded, whole or the first 500 entries of it: the
    plan is for 1,200."""
    chance = np.random.default_rng(1)
    writer = RecordWriter(str(tmp_path / "r"), 1 << 30, hidden=False)
    writer.facts(replace(facts(), local=Intervals.of((HERE, HERE)), max=1_300))
    writer.text("rules", "iptables-legacy-save ip iptables-legacy", OPEN)
    for frame in frames(steady(chance, 10, 120.0, port=80, span=(-200, 100)), [0.0, 200.0], rows, chance):
        writer.frame(frame, READING)
    writer.close()
    code(["plan", str(tmp_path / "r"), "--json"])
    made = json.loads(capsys.readouterr().out)
    assert 1_100 < made["entries_before"] < 1_300
    assert [[80, 80]] == made["policy"]["untrack"][0]["ports"]["ranges"]
