"""The kernel's own rules as a rule set, and `explain` on them."""

from __future__ import annotations

import json

import pytest

from conntrim.cli.main import run
from conntrim.core.model.errors import HostError
from conntrim.core.model.ruleset import Dialect
from conntrim.host import programs
from conntrim.host.rulesets import KernelRulesets
from conntrim.lab.netns import LabHost

SAVE = "*raw\n-A PREROUTING -p tcp --dport 80 -j NOTRACK\nCOMMIT\n*filter\n-A INPUT -p tcp --dport 22 -j DROP\nCOMMIT\n"
NFT = "table inet own {\nchain in { type filter hook input priority 10; tcp dport 443 drop; }\n}\n"
KNOCK = ["explain", "-p", "tcp", "-s", "192.0.2.9", "--sport", "4000", "-d", "127.0.0.1", "-i", "eth0", "--json"]


def test_each_kind_of_table_is_found_once(host: LabHost) -> None:
    """Tables of iptables, ip6tables, iptables-legacy and nft at once form one rule set (K36, K37)."""
    host.run("iptables-nft-restore", text=SAVE)
    host.run("ip6tables-nft-restore", text=SAVE)
    host.run("nft", "-f", "-", text=NFT)
    expected = {
        (Dialect.IPTABLES_NFT, "ip", "raw"), (Dialect.IPTABLES_NFT, "ip", "filter"),
        (Dialect.IPTABLES_NFT, "ip6", "raw"), (Dialect.IPTABLES_NFT, "ip6", "filter"),
        (Dialect.NFTABLES, "inet", "own"),
    }  # fmt: skip
    if programs.find("iptables-legacy-restore"):
        try:
            host.run("iptables-legacy-restore", text=SAVE.split("*filter", maxsplit=1)[0])
            expected.add((Dialect.IPTABLES_LEGACY, "ip", "raw"))
        except HostError as error:
            pytest.skip(f"this kernel has no iptables-legacy: {error}")
    tables = KernelRulesets(host.name).read().tables
    assert expected == {(t.dialect, str(t.family), t.name) for t in tables}
    assert len(expected) == len(tables)


@pytest.mark.parametrize(("port", "code", "table"), [("22", 1, "filter"), ("443", 1, "own"), ("80", 0, "raw")])
def test_explain_asks_the_kernel(
    host: LabHost, port: str, code: int, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without files the rules of the namespace decide, iptables' and nft's alike."""
    host.run("iptables-nft-restore", text=SAVE)
    host.run("nft", "-f", "-", text=NFT)
    assert code == run([*KNOCK, "--dport", port, "--netns", host.name])
    told = json.loads(capsys.readouterr().out)
    assert table in {line["table"] for line in told["packets"][0]["path"]}
