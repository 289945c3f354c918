"""The row files against the kernel's own programs: it takes what we take, refuses what we refuse, lists what we say."""

from __future__ import annotations

import re

import pytest

from conntrim.core.model.errors import HostError
from conntrim.core.model.normal import normal
from conntrim.core.model.ruleset import Ruleset, TableFamily
from conntrim.core.parse.nft.document import read_nft
from conntrim.core.parse.xt.save import read_save
from conntrim.lab.netns import LabHost
from tests.golden.nft_rows import NftRow, nft_rows, table_of
from tests.golden.rows import ROWS, Row, chain_of, rows

PROGRAMS = {TableFamily.IP: "iptables", TableFamily.IP6: "ip6tables"}

FOREIGN = (
    "-m geoip", "-j TARPIT", "-m set", "-j CT --ctevents", "-m rpfilter", "-m owner", "-m cgroup", "-j QUEUE", "-j FOO",
    "-j nowhere", "-m ipvs", "-m nfacct", "-m rateest", "-p udplite -m udplite", "-j LED", "-j SET", "-j ULOG",
    "-d 192.0.2.1 -i eth0 -j CLUSTERIP", "-j RTPENGINE", "-m ndpi", "-p udp -j TS3INIT", "-j SECMARK", "-j SNPT",
)  # fmt: skip
"""Extensions or set names that this host may lack, or that another hook wants."""

OLD = ("-s ! ", "-i ! ", "-p ! ", "-p tcp --dport ! ", "-p tcp --tcp-flags ! ", "-m state --state ! ")
"""The order of negation in old saves, which iptables 1.8.9 takes no more; we still do."""

STRICT = ('-m comment --comment "unclosed', "! -p tcp --dport 22")
"""What iptables takes by mistake: an open quote; and, its nft back end only, the port of whatever is not TCP."""

LOST = ("! -d 0.0.0.0/0", "! -d ::/0", "-j CT", "-m conntrack --ctorigsrc 10.0.0.1/255.0.0.255")
"""Rules that the kernel takes and lists as something else, or that mean more than the listing says."""


def listed(host: LabHost, row: Row) -> str | None:
    """What the kernel lists after loading the row; None where it refuses."""
    program = PROGRAMS[row.family]
    try:
        host.run(f"{program}-nft-restore", text=row.save())
    except HostError:
        return None
    return host.run(f"{program}-nft-save", "-t", row.table)


@pytest.mark.parametrize("path", sorted(ROWS.glob("ip*tables.t")), ids=lambda p: str(p.stem))
def test_rows_agree_with_the_kernel(host: LabHost, path: object) -> None:
    """Every row that we read loads and is listed as the same rule; every row that we refuse is refused."""
    refused, accepted, different = [], [], []
    for row in rows(ROWS / str(path)):
        text = listed(host, row)
        if text is None:
            refused += [row.rule] if row.verdict == "ok" and not row.rule.startswith((*FOREIGN, *OLD, *LOST)) else []
        elif row.verdict == "fail":
            accepted += [] if row.rule in STRICT else [row.rule]
        elif row.rule not in LOST:
            ours = chain_of(read_save(row.save(), "row", row.family), row.chain)
            theirs = chain_of(read_save(text, "kernel", row.family), row.chain)
            different += [row.rule] if ours.rules != theirs.rules else []
    assert ([], [], []) == (refused, accepted, different)


def loads_alone(row: NftRow) -> bool:
    """Whether nft takes the row's text without more and lists it so: it names nothing declared elsewhere, and no
    map that draws: of that each value is a rule in the model, and nft has one for all."""
    return row.verdict == "ok" and not re.search(r"^\(no |@|ct \w+ set \"|numgen|hash ", row.canonical)


def test_nft_rows_agree_with_the_kernel(host: LabHost) -> None:
    """The canonical text of every nft row loads, and is listed as the rule that the row's own listing is read as."""
    different = []
    for row in nft_rows(ROWS / "nft.t"):
        if loads_alone(row):
            body = "\n".join(row.canonical.split(" || "))
            text = f"table {row.family} t {{\nchain user {{\n}}\nchain c {{\n{HOOK}\n{body}\n}}\n}}\n"
            host.run("nft", "-f", "-", text=f"flush ruleset\n{text}")
            again = normal(read_nft(host.run("nft", "-j", "list", "ruleset"), "kernel")).tables[0]
            ours = normal(Ruleset((table_of(row.family, row.json),))).tables[0]
            different += [] if (ours.chains, ours.sets) == (again.chains, again.sets) else [row.rule]
    assert [] == different


HOOK = "type filter hook prerouting priority -300;"
