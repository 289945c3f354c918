"""Confirmed rules come back at boot: the files are loaded into a fresh namespace, which then does the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from conntrim.core.rollout.persist import chains_xt
from conntrim.core.rollout.persist_nft import chains_nft
from conntrim.host import programs
from conntrim.lab.netns import LabHost, bridged, lab_host
from tests.lab.planning import NFT_FIREWALL, OUTSIDER, RH_FIREWALL, RH_FIREWALL_V6, WEB, WEB_POLICY, ask, entries, serve
from tests.lab.test_rollout_plans import Operator, SwiftOperator

NFT_CONF = (
    "#!/usr/sbin/nft -f\n\nflush ruleset\n\n"
    + NFT_FIREWALL.replace("ct state invalid drop\n", "ct state invalid drop  # broken; {\n", 1)
    + '\ntable ip other {\n  chain c {\n    ip daddr { 192.0.2.1,\n      192.0.2.2 } drop\n  }\n}\n'
)  # fmt: skip
RULES_V4 = "# the web host; do not edit\n" + RH_FIREWALL.replace(
    "-A RH-Firewall-1-INPUT -p icmp", "# ping\n[7:420] -A RH-Firewall-1-INPUT -p icmp"
)
FILES: dict[str, dict[str, tuple[str, str]]] = {
    "debian": {
        "etc/iptables/rules.v4": ("iptables-restore", RULES_V4),
        "etc/iptables/rules.v6": ("ip6tables-restore", RH_FIREWALL_V6),
    },
    "rhel": {
        "etc/sysconfig/iptables": ("iptables-restore", RULES_V4),
        "etc/sysconfig/ip6tables": ("ip6tables-restore", RH_FIREWALL_V6),
    },
    "nft": {"etc/nftables.conf": ("nft", NFT_CONF)},
}
SERVICES = {"debian": ("netfilter-persistent",), "rhel": ("iptables", "ip6tables"), "nft": ("nftables",)}


def load(host: LabHost, root: Path, kind: str) -> None:
    """What a boot does."""
    for name, (program, _) in FILES[kind].items():
        host.run(program, *(["-f", "-"] if program == "nft" else []), text=(root / name).read_text())


def installed(root: Path, kind: str) -> None:
    """The files, and the links that make a boot load them."""
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    wanted.mkdir(parents=True)
    for service in SERVICES[kind]:
        (wanted / f"{service}.service").symlink_to(f"/lib/systemd/system/{service}.service")
    for name, (_, text) in FILES[kind].items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def files_below(root: Path) -> dict[str, bytes]:
    """Every file by its path."""
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and not p.is_symlink()}


def confirmed(operator: Operator, directory: Path) -> str:
    """Plan, trial and confirm; what the confirm says."""
    (directory / "web.toml").write_bytes(WEB_POLICY)
    made = str(directory / "plan")
    for verb in (("plan", "--policy", str(directory / "web.toml"), "-o", made), ("apply", made), ("confirm",)):
        done = operator.does(*verb)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


@pytest.mark.parametrize("kind", list(FILES))
def test_the_files_bring_back_what_the_kernel_holds(tmp_path: Path, kind: str) -> None:
    """After a boot from them the listing is the confirmed one and the service leaves no entry; rollback undoes them."""
    with bridged(["client=20", "web=18"]) as hosts:
        web = hosts["web"]
        operator = SwiftOperator(web, tmp_path)
        root = tmp_path / "root"
        installed(root, kind)
        load(web, root, kind)
        files = files_below(root)
        told = confirmed(operator, tmp_path)
        assert [f"Comes back at boot: /{name}, loaded by " in told for name in FILES[kind]] == [True] * len(files)
        assert "By hand" not in told
        assert not any(b"packets" in text for text in files_below(root).values())
        kept = loaded(web)
        flush(web)
        load(web, root, kind)
        assert loaded(web) == kept
        serve(web, 80)
        assert [ask(hosts["client"], WEB, 80) for _ in range(3)] == ["echo"] * 3
        assert entries(web) == 0
        assert operator.does("status").returncode == 0
        assert all(
            line in (root / name).read_text() for name in FILES[kind] for line in files[name].decode().splitlines()
        )
        assert operator.does("rollback").returncode == 0
        assert files_below(root) == files


def loaded(host: LabHost) -> dict[str, tuple[str, ...]]:
    """The rules of every chain: which table is listed first is no difference."""
    found = chains_nft(host.run("nft", "-s", "list", "ruleset"))
    for family in ("ip", "ip6"):
        saved = chains_xt(host.run(f"{family}tables-nft-save"))
        found |= {f"{family} {name}": rules for name, rules in saved.items()}
    return found


def flush(host: LabHost) -> None:
    """A boot begins without rules."""
    host.run("nft", "flush", "ruleset")


def test_a_file_that_is_not_what_the_kernel_holds_is_left_alone(tmp_path: Path) -> None:
    """Somebody changed the rules and did not save them: the file would misplace an accept; it stays as it is."""
    with bridged(["web=18"]) as hosts:
        web, root = hosts["web"], tmp_path / "root"
        operator = SwiftOperator(web, tmp_path)
        installed(root, "debian")
        load(web, root, "debian")
        web.run("iptables", "-I", "RH-Firewall-1-INPUT", "2", "-s", OUTSIDER, "-j", "DROP")
        files = files_below(root)
        told = confirmed(operator, tmp_path)
        assert "Does not come back at boot by itself: iptables-nft-restore: loaded by itself it would" in " ".join(
            told.split()
        )
        assert {name: text for name, text in files_below(root).items() if name != "etc/iptables/rules.v6"} == {
            name: text for name, text in files.items() if name != "etc/iptables/rules.v6"
        } | {name: text for name, text in files_below(root).items() if name.startswith("etc/iptables/rules.v6.")}


@pytest.mark.parametrize("kind", ["iptables", "nft"])
def test_where_nothing_loads_rules_at_boot_the_lines_are_told(tmp_path: Path, kind: str) -> None:
    """No service is enabled that would load a file: nothing is written, each line is named with its chain."""
    with bridged(["web=18"]) as hosts:
        web = hosts["web"]
        if kind == "nft":
            web.run("nft", "-f", "-", text=NFT_FIREWALL)
        else:
            web.run("iptables-restore", text=RH_FIREWALL)
            web.run("ip6tables-restore", text=RH_FIREWALL_V6)
        operator = SwiftOperator(web, tmp_path)
        told = confirmed(operator, tmp_path)
        assert "Does not come back at boot by itself: " in told
        assert "By hand: " in told
        assert files_below(tmp_path / "root") == {}


def test_a_host_without_rules_gets_a_unit(tmp_path: Path) -> None:
    """The own table in a file of its own and a unit that loads it; loading it twice changes nothing."""
    with bridged(["client=20", "web=18"]) as hosts:
        web, root = hosts["web"], tmp_path / "root"
        operator = SwiftOperator(web, tmp_path)
        (root / "lib/systemd").mkdir(parents=True)
        (root / "lib/systemd/systemd").touch()
        told = confirmed(operator, tmp_path)
        assert "Comes back at boot: /etc/conntrim/untrack.nft, loaded by conntrim.service" in told
        kept = loaded(web)
        unit = (root / "etc/systemd/system/conntrim.service").read_text()
        starts = [line.partition("=")[2].split() for line in unit.splitlines() if line.startswith("ExecStart=")]
        flush(web)
        for command in starts * 2:
            web.run(*command[:-1], str(root) + command[-1])
        assert loaded(web) == kept
        assert (
            (root / "etc/systemd/system/multi-user.target.d/conntrim.conf")
            .read_text()
            .endswith("Wants=conntrim.service\n")
        )
        checked = programs.attempt(["systemd-analyze", "verify", str(root / "etc/systemd/system/conntrim.service")])
        assert [
            line for line in checked.errors.splitlines() if "conntrim" in line and "not executable" not in line
        ] == []
        assert operator.does("rollback").returncode == 0
        assert [name for name in files_below(root) if name != "lib/systemd/systemd"] == []


def test_the_files_of_the_host_are_not_a_namespace_s(tmp_path: Path) -> None:
    """With --netns and without --root no file is written, and that is said."""
    with lab_host("web") as web:
        web.run("nft", "-f", "-", text=NFT_FIREWALL)
        operator = SwiftOperator(web, tmp_path, rooted=False)
        told = confirmed(operator, tmp_path)
        assert "no file was written: the host's own are not this namespace's (--root DIR)" in " ".join(told.split())
