"""The verb `plan` on a record: what its readings tell of new time-outs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conntrim.core.model.address import format_address
from tests.unit.cli.test_plan import HOSTS, code
from tests.unit.core.census.flows import HERE
from tests.unit.store.test_record import written

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
