"""What a host prints of itself, pasted into one file, is read as the host is."""

from __future__ import annotations

from pathlib import Path

import pytest

from conntrim.core.model.normal import normal
from conntrim.host.rulesets import FileRulesets, KernelRulesets
from conntrim.lab.netns import LabHost
from tests.lab.test_paired import NATIVE, mixed

COMMANDS = (
    ("iptables-nft-save",), ("ip6tables-nft-save",), ("nft", "-j", "list", "ruleset"), ("ipset", "save"),
)  # fmt: skip


@pytest.mark.parametrize("rule", NATIVE)
def test_a_pasted_session_is_the_host(host: LabHost, tmp_path: Path, rule: str) -> None:
    """A table of iptables-nft is in two of the listings, of which neither tells all (K36, K96): read as one table, with
    what both tell, like the kernel's own."""
    host.run("ipset", "create", "banned", "hash:ip")
    mixed(host, NATIVE[rule])
    host.run("nft", "-f", "-", text="table inet own {\n chain c {\n tcp dport 22 accept\n }\n}\n")
    path = tmp_path / "session"
    path.write_text("".join(f"root@fw:~# {' '.join(argv)}\n{host.run(*argv)}" for argv in COMMANDS) + "root@fw:~#\n")
    ours, kernels = FileRulesets([str(path)]).read(), KernelRulesets(host.name).read()
    assert normal(ours).tables == normal(kernels).tables
    assert ours.unread == kernels.unread
    assert ours.ipsets == kernels.ipsets


def test_listings_that_do_not_fit_are_told(tmp_path: Path) -> None:
    """One of them may be older, or of a host with both back ends: both count, and a remark says so."""
    nft = '{"nftables": [{"table": {"family": "ip", "name": "filter"}}]}'
    path = tmp_path / "f"
    path.write_text(f"*filter\n-A INPUT -j DROP\nCOMMIT\n{nft}\n")
    ruleset = FileRulesets([str(path)]).read()
    assert len(ruleset.tables) == 2
    assert ruleset.remarks == ("table ip filter is in two listings that do not fit: both are taken",)
