"""A host of two dialects: rules of iptables-nft and a native nft table that drops, so that both need accepts."""

from __future__ import annotations

from pathlib import Path

from conntrim.lab.netns import bridged
from tests.lab.planning import RH_FIREWALL, RH_FIREWALL_V6, WEB, ask, serve
from tests.lab.test_rollout import entries
from tests.lab.test_rollout_plans import SwiftOperator, listing

POLICY = b'[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\n'
NATIVE = """\
table inet fw {
  chain input {
    type filter hook input priority 10; policy drop;
    iif "lo" accept
    ct state established,related accept
    tcp dport { 22, 80 } ct state new accept
  }
}
"""


def test_a_plan_that_feeds_both_dialects_goes_the_whole_way(tmp_path: Path) -> None:
    """nft lists the tables of iptables-nft too, without our comments: each table is looked at through one program."""
    (tmp_path / "web.toml").write_bytes(POLICY)
    policy, made = str(tmp_path / "web.toml"), str(tmp_path / "plan")
    with bridged(["client=20", "web=18"]) as hosts:
        web, client = hosts["web"], hosts["client"]
        web.run("iptables-nft-restore", text=RH_FIREWALL)
        web.run("ip6tables-nft-restore", text=RH_FIREWALL_V6)
        web.run("nft", "-f", "-", text=NATIVE)
        serve(web, 80)
        before, operator = listing(web), SwiftOperator(web, tmp_path)
        told = operator.does("plan", "--policy", policy, "-o", made)
        assert told.returncode == 0, told.stdout + told.stderr
        fed = {path.name.partition("-")[2] for path in (tmp_path / "plan" / "trial").iterdir()}
        assert fed == {"nft", "iptables-nft-restore", "ip6tables-nft-restore"}
        told = operator.does("apply", made, "--trial", "2m")
        assert told.stdout.startswith("Armed."), told.stdout
        assert ask(client, WEB, 80) == "echo"
        assert entries(web) == 0
        told = operator.does("confirm")
        assert told.stdout.startswith("Confirmed."), told.stdout
        assert ask(client, WEB, 80) == "echo"
        assert entries(web) == 0
        told = operator.does("status")
        assert (told.returncode, "Changed around" in told.stdout) == (0, False), told.stdout
        assert operator.does("rollback").stdout.startswith("Rolled back.")
        assert listing(web) == before
