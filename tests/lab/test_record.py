"""Records of a real kernel: the verbs say of one what they said of the host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conntrim.cli.main import run
from conntrim.lab.bulk import fill_columns
from conntrim.lab.fill import Entry
from conntrim.lab.limits import global_limits
from conntrim.lab.netns import LabHost

RULES = """\
*filter
:INPUT DROP [0:0]
:bob - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -s 203.0.113.0/24 -p tcp -m tcp --dport 80 -m comment --comment "for bob" -j bob
-A bob -j ACCEPT
COMMIT
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 80 -j CT --notrack
COMMIT
"""


@pytest.fixture(autouse=True)
def _size() -> Iterator[None]:
    """No neighbour makes the table smaller than what is put into it, or full between two verbs."""
    with global_limits():
        yield


def filled(host: LabHost) -> None:
    """Rules with a one-sided NOTRACK, 900 clients of a web server and 100 DNS queries."""
    host.run("iptables-nft-restore", text=RULES)
    host.run("ip", "address", "add", "192.0.2.18/32", "dev", "lo")
    web = Entry(6, "203.0.113.1", "192.0.2.18", 1, 80, timeout=3_600)
    fill_columns(host.name, web, {"src": 0xCB007100 + np.arange(900) % 250, "sport": 1_024 + np.arange(900)})
    fill_columns(host.name, Entry(17, "192.0.2.18", "45.67.89.53", 1, 53), {"sport": 1_024 + np.arange(100)})


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, object]:
    """What a verb says as JSON."""
    run([*argv, "--json"])
    told: dict[str, object] = json.loads(capsys.readouterr().out)
    return told


def about_it(report: dict[str, object]) -> list[tuple[str, str]]:
    """The findings, but for other namespaces (CT009): those are neighbours of the lab, which come and go meanwhile."""
    findings = ((f["code"], f["title"]) for f in report["findings"])  # type: ignore[attr-defined]
    return [(code, title) for code, title in findings if code != "CT009"]


def test_the_verbs_say_of_a_record_what_they_said_of_the_host(
    host: LabHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """census, diagnose and check, of the namespace and of its record; three frames make a panel."""
    filled(host)
    live = [said(capsys, *argv, "--netns", host.name) for argv in (("census",), ("diagnose",), ("check",))]
    path = str(tmp_path / "r")
    assert run(["record", "-o", path, "--for", "0.6s", "--every", "0.3s", "--netns", host.name]) == 0
    assert "3 readings" in " ".join(capsys.readouterr().out.split())
    saved = [said(capsys, *argv, path) for argv in (("census",), ("diagnose",), ("check",))]
    for one, other in zip(live[:1], saved[:1], strict=True):
        assert {**one, "source": ""} == {**other, "source": ""}
    assert about_it(live[1]) == about_it(saved[1])
    assert [f["code"] for f in live[2]["findings"]] == [f["code"] for f in saved[2]["findings"]] != []  # type: ignore[attr-defined]
    assert said(capsys, "census", "--again", "9", path)["readings"] == 3


def test_a_record_tells_behind_which_device_a_client_is(
    host: LabHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one client that fills the table, named with its device live and from the record; not from an anonymous one,
    whose devices are names.
    """
    host.run("ip", "link", "add", "lan7", "type", "bridge")
    host.run("ip", "address", "add", "10.7.0.1/24", "dev", "lan7")
    host.run("ip", "link", "set", "lan7", "up")
    many = np.arange(6_000)
    fill_columns(host.name, Entry(17, "10.7.0.66", "45.67.0.0"), {
        "dst": 0x2D430000 + many, "sport": 1_024 + many, "dport": 1_024 + many,
    })  # fmt: skip
    fill_columns(host.name, Entry(17, "10.7.0.100", "45.67.89.53", 5_000, 53), {"src": 0x0A070064 + np.arange(40)})
    path, hidden = str(tmp_path / "r"), str(tmp_path / "h")
    assert run(["record", "-o", path, "--netns", host.name]) == 0
    assert run(["record", "-o", hidden, "--anonymise", "--netns", host.name]) == 0
    capsys.readouterr()
    for argv in (("--netns", host.name), (path,)):
        assert devices(said(capsys, "diagnose", "-w", "1", *argv)) == {"10.7.0.66": "lan7"}
    assert devices(said(capsys, "diagnose", "-w", "1", hidden)) == {}


def devices(report: dict[str, Any]) -> dict[str, str]:
    """Behind which devices those are whom the first cause names."""
    first = report["causes"][0]
    assert len(first["who"]) == 1
    found: dict[str, str] = first["interfaces"]
    return found


def test_an_anonymous_record_tells_the_same_and_names_nobody(
    host: LabHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same services, states and findings; neither addresses nor names are in the file, however it is unpacked."""
    filled(host)
    path = str(tmp_path / "r")
    assert run(["record", "-o", path, "--anonymise", "--netns", host.name]) == 0
    capsys.readouterr()
    live, saved = said(capsys, "census", "--netns", host.name), said(capsys, "census", path)
    for name in ("total", "states", "zones"):
        assert live[name] == saved[name]
    kinds = [
        [(s["direction"], s["protocol"], s["port"], s["entries"], s["peers"]) for s in told["services"]]  # type: ignore[attr-defined]
        for told in (live, saved)
    ]
    assert kinds[0] == kinds[1]
    run(["diagnose", path])
    run(["check", path])
    run(["census", "--by", "client", path])
    out = capsys.readouterr().out
    assert [secret for secret in ("203.0.113", "45.67.89", "192.0.2.18", "bob", host.name) if secret in out] == []


def test_one_key_hides_two_records_alike(host: LabHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a key of the operator's own a client has the same other address in both; without one in neither."""
    filled(host)
    (tmp_path / "key").write_bytes(b"0123456789abcdef0123456789abcdef")
    told = []
    for number, key in enumerate(((), (), ("--key", str(tmp_path / "key")), ("--key", str(tmp_path / "key")))):
        path = str(tmp_path / f"r{number}")
        assert run(["record", "-o", path, "--anonymise", *key, "--netns", host.name]) == 0
        capsys.readouterr()
        told.append(said(capsys, "census", path)["servers"])
    assert told[2] == told[3]
    assert told[0] != told[1] != told[2]
