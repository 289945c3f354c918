"""The verb `plan`: what it writes, its exit codes, and bad input."""

import json
from pathlib import Path

import pytest

from conntrim.cli.main import run
from conntrim.core.emit.policy import emit_policy
from conntrim.core.parse.plan import parse_plan
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.obligations.registry import NAMES, UNTRACKING

HOSTS = Path(__file__).parents[2] / "golden" / "hosts"
WEB = ["plan", "--policy", str(HOSTS / "web.toml"), "--ruleset", str(HOSTS / "rh-firewall.save")]
OLD_TABLE = """\
tcp 6 431999 ESTABLISHED src=192.168.0.18 dst=192.168.0.17 sport=52292 dport=11211 packets=1 bytes=52 \
src=192.168.0.17 dst=192.168.0.18 sport=11211 dport=52292 packets=1 bytes=52 [ASSURED] use=1
"""


def code(arguments: list[str]) -> int:
    """The exit code of a command line."""
    try:
        return run(arguments)
    except SystemExit as ended:
        return int(str(ended.code))


def test_directory_holds_the_whole_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """-o writes policy, plan, report and every batch; the plan reads back, and a second run replaces it."""
    target = tmp_path / "made" / "here"
    assert 1 == code([*WEB, "--local", "192.168.0.18", "-o", str(target)])
    names = {str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()}
    assert {
        "policy.toml",
        "plan.json",
        "REPORT.md",
        "trial/1-iptables-nft-restore",
        "confirm/1-iptables-nft-restore",
    } <= names
    plan = parse_plan((target / "plan.json").read_bytes(), "plan.json")
    assert (target / "trial/1-iptables-nft-restore").read_text() == plan.trial[0].text
    policy = parse_policy((target / "policy.toml").read_bytes(), "policy.toml")
    assert emit_policy(plan.policy) == emit_policy(policy)
    assert "## Obligations" in (target / "REPORT.md").read_text()
    assert 1 == code([*WEB, "--local", "192.168.0.18", "-o", str(target)])
    assert [target] == list(target.parent.iterdir())
    assert f"conntrim apply {target}" in capsys.readouterr().out


def test_foreign_directory_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory with anything else in it is refused, and stays as it is."""
    (tmp_path / "precious").write_text("mine")
    assert 2 == code([*WEB, "-o", str(tmp_path)])
    assert ["precious"] == [p.name for p in tmp_path.iterdir()]
    assert "holds something that is no plan" in capsys.readouterr().err


def test_unwritable_place_is_the_hosts_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no directory can be made the error names the command and the kernel's word."""
    assert 2 == code([*WEB, "-o", "/proc/nowhere/plan"])
    assert "conntrim: write /proc/nowhere/plan:" in capsys.readouterr().err


def test_json_is_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints what plan.json holds."""
    assert 1 == code([*WEB, "--json"])
    given = json.loads(capsys.readouterr().out)
    assert ("plan", [name for name in NAMES if name in UNTRACKING]) == (
        given["kind"],
        [o["name"] for o in given["obligations"]],
    )


BAD = {
    "wide range": ('[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = ["10240-65000"]\n', ":4: "),
    "ephemeral range": ('[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = ["40000-40100"]\n', "ephemeral"),
    "no server": ('[[untrack]]\ndirection = "outbound"\nprotocol = "tcp"\nports = [80]\n', ":1: "),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_policy_is_exit_code_2(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A refused policy ends with 2 and one line that names file and line."""
    text, message = BAD[name]
    policy = tmp_path / "policy.toml"
    policy.write_text(text)
    assert 2 == code(["plan", "--policy", str(policy), "--ruleset", str(HOSTS / "rh-firewall.save")])
    error = capsys.readouterr().err
    assert f"conntrim: {policy}" in error
    assert message in error
    assert 1 == len(error.splitlines())


def test_old_table_becomes_a_plan_in_old_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of /proc/net/ip_conntrack alone are enough: the service is proposed, pinned, in old words."""
    table = tmp_path / "ip_conntrack"
    table.write_text(OLD_TABLE)
    assert 1 == code(["plan", str(table), "--ruleset", str(HOSTS / "rh-firewall.save"), "--local", "192.168.0.18"])
    out = capsys.readouterr().out
    assert "untrack outbound tcp/11211 to 192.168.0.17" in out
    assert "entries 1 -> 0" in out
    assert "-j NOTRACK" in out


def test_a_host_of_files_serves_what_its_policy_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """K74: nobody opens connections from a port at which a program listens. Files tell of no program: where the policy
    has this host serve the port one is taken to be there, which is said; of a server it asks nothing is assumed."""
    rules = tmp_path / "translating.save"
    rules.write_text((HOSTS / "rh-firewall.save").read_text() + "*nat\n:OUTPUT ACCEPT [0:0]\n"
                     "-A OUTPUT -d 192.0.2.99/32 -p tcp -j DNAT --to-destination 192.0.2.98\nCOMMIT\n")  # fmt: skip
    local = ["--ruleset", str(rules), "--local", "192.168.0.18", "--json"]
    assert 1 == code(["plan", "--policy", str(HOSTS / "web.toml"), *local])
    served = json.loads(capsys.readouterr().out)
    assert {"loads"} == {o["name"] for o in served["obligations"] if o["standing"] != "proved"}
    assert ["made from files: a program is taken to listen at tcp/80 on all addresses"] == served["remarks"][1:2]
    asking = tmp_path / "asking.toml"
    asking.write_text('[[untrack]]\ndirection = "outbound"\nprotocol = "tcp"\nports = [80]\nto = ["192.0.2.7"]\n')
    assert 1 == code(["plan", "--policy", str(asking), *local])
    assert not [r for r in json.loads(capsys.readouterr().out)["remarks"] if "listen" in r]
