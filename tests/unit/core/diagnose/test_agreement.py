"""What `diagnose` offers to untrack, limit or time out, `plan` takes: of the same listing, on every kind of host."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from conntrim.cli.main import run
from conntrim.core.model.address import parse_address
from conntrim.core.model.protocol import protocol_name
from tests.unit.core.diagnose.listings import OWN, entry
from tests.unit.core.diagnose.test_causes import GATEWAY, HEALTHY, MADE, inside, outside

NO_RULES = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
TRACKED = NO_RULES.replace("COMMIT", "-A FORWARD -m conntrack --ctstate INVALID -j DROP\nCOMMIT")
MASQUERADED = f"*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n{TRACKED}"


def behind_nat() -> list[str]:
    """Short connections of forty clients to a port of many servers, translated."""
    return [
        entry("tcp", inside(n % 40), outside(n), 30_000 + n, 443, state="TIME_WAIT", left=1 + n % 119,
              translated=GATEWAY)
        for n in range(600)
    ]  # fmt: skip


def mixed() -> list[str]:
    """A host of which plan refuses most: a service on a client's port, an ftp client, ICMP, what is translated, groups,
    more servers than can be named; and one that it takes.
    """
    lines = [entry("tcp", outside(n), OWN, 30_000 + n, 54_321, state="TIME_WAIT", left=60) for n in range(60)]
    lines += [entry("tcp", OWN, "203.0.113.21", 30_000 + n, 21, state="TIME_WAIT", left=60) for n in range(60)]
    lines += [entry("udp", inside(n), "9.9.9.9", 20_000 + n, 53, translated=GATEWAY) for n in range(60)]
    lines += [entry("udp", f"192.0.2.{20 + n}", "192.0.2.255", 138, 138, replied=False) for n in range(60)]
    lines += [entry("tcp", OWN, outside(n), 30_000 + n, 443, state="TIME_WAIT", left=60) for n in range(60)]
    lines += [
        f"icmp 1 20 src=203.0.113.{n} dst={OWN} type=8 code=0 id={n} src={OWN} dst=203.0.113.{n} type=0 code=0 id={n}\n"
        for n in range(60)
    ]
    return [
        *lines,
        *(entry("tcp", outside(n), OWN, 30_000 + n, 80, state="TIME_WAIT", left=60) for n in range(60)),
    ]


HOSTS: dict[str, tuple[list[str], str]] = {
    **{name: ([*lines(), *(beside() if beside else ())], local) for name, (_, lines, beside, local) in MADE.items()},
    **{name: (list(lines()), local) for name, (lines, local) in HEALTHY.items()},
    "mixed": (mixed(), OWN),
    "behind NAT": (behind_nat(), ""),
}


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("full", [True, False])
def test_what_is_offered_is_taken(name: str, full: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every service that a remedy of the report or of a cause would untrack is in the policy that plan proposes and
    compiles for the same table.
    """
    lines, local = HOSTS[name]
    table, rules = tmp_path / "table", tmp_path / "rules.v4"
    table.write_text("".join(lines))
    rules.write_text(NO_RULES)
    own = ("--local", local) if local else ()
    size = len(lines) if full else 100 * len(lines)
    report = said(capsys, "diagnose", str(table), "--max", str(size), *own)
    offered = {
        asked(remedy["title"])
        for remedy in (*report["remedies"], *(r for cause in report["causes"] for r in cause["remedies"]))
        if remedy["kind"] == "untrack" and "together" not in remedy["title"]
    }
    if offered:
        plan = said(capsys, "plan", str(table), "--ruleset", str(rules), *own)
        assert offered <= {
            (each["direction"], protocol_name(each["protocol"]), low)
            for each in plan["policy"]["untrack"]
            for low, _ in each["ports"]["ranges"]
        }


@pytest.mark.parametrize("name", ["CT037", "CT050"])
def test_the_limit_of_a_client_is_a_policy_that_plan_takes(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands of the lasting limit, given to a shell: the policy limits that client and no other."""
    lines, _ = HOSTS[name]
    table, rules = tmp_path / "table", tmp_path / "rules.v4"
    table.write_text("".join(lines))
    rules.write_text(NO_RULES)
    report = said(capsys, "diagnose", str(table), "--max", str(len(lines)))
    (lasting,) = (r for r in report["remedies"] if r["kind"] == "limit" and not r["now"])
    write, compile_it = lasting["how"]
    subprocess.run(["/bin/sh", "-c", write], check=True, cwd=tmp_path)
    assert compile_it.split() == ["conntrim", "plan", "--policy", "policy.toml", "-o", "cure"]
    plan = said(capsys, "plan", str(table), "--policy", str(tmp_path / "policy.toml"), "--ruleset", str(rules))
    (limit,) = plan["policy"]["limits"]
    (client,) = {parse_address(who) for cause in report["causes"][:1] for who in cause["who"]}
    assert (limit["direction"], limit["clients"]["ranges"]) == ("forwarded", [[client, client]])


@pytest.mark.parametrize("rule_set", [MASQUERADED, TRACKED], ids=["masquerading", "not"])
@pytest.mark.parametrize("name", ["CT012", "CT038", "CT040", "CT041", "CT043", "mixed", "behind NAT"])
def test_the_time_out_of_a_service_is_a_policy_that_plan_takes(
    name: str, rule_set: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its commands, given to a shell: nothing is broken by it, NAT's minima (K93) included, whether or not the table
    shows that rules translate; it is for the service that the remedy names in all directions that the table has, and
    leaves the entries that the remedy says.
    """
    lines, local = HOSTS[name]
    table, rules = tmp_path / "table", tmp_path / "rules.v4"
    table.write_text("".join(lines))
    rules.write_text(rule_set)
    own = ("--local", local) if local else ()
    report = said(capsys, "diagnose", str(table), "--max", str(len(lines)), *own)
    offered = [r for cause in report["causes"] for r in cause["remedies"] if r["kind"] == "service-timeout"]
    assert offered
    for remedy in offered:
        write, _ = remedy["how"]
        subprocess.run(["/bin/sh", "-c", write], check=True, cwd=tmp_path)
        plan = said(
            capsys, "plan", str(table), "--policy", str(tmp_path / "policy.toml"), "--ruleset", str(rules), *own
        )
        assert [each for each in plan["obligations"] if each["standing"] == "broken"] == []
        made = plan["policy"]["service_timeouts"]
        names = {f"{protocol_name(each['protocol'])}/{each['ports']['ranges'][0][0]}" for each in made}
        assert names == {remedy["title"].split()[-2]}
        assert plan["entries_after"] == remedy["entries_after"]


def asked(title: str) -> tuple[str, str, int]:
    """`untrack outbound tcp/11211 to 192.0.2.40` as what a policy says; on lo this host is the server."""
    _, direction, service, *_ = title.split()
    protocol, port = service.split("/")
    return "inbound" if direction == "loopback" else direction, protocol, int(port)


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """The JSON of a verb."""
    with suppress(SystemExit):
        run([*argv, "--json"])
    told = capsys.readouterr()
    assert told.err == ""
    value: dict[str, Any] = json.loads(told.out)
    return value
