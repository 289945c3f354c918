"""Accepts in firewalld's own table, which each start and reload of it makes anew: a unit that puts them in again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from conntrim.core.model.plan import FileChange
from conntrim.core.parse.listed import nft_table
from conntrim.core.rollout.persist import Placed
from conntrim.core.rollout.persist_nft import MARK, own_file
from conntrim.core.rollout.stores import OWN_FILES

TABLE = "table inet firewalld"
UNIT = "conntrim-firewalld.service"
UNIT_PATH = f"/etc/systemd/system/{UNIT}"
WANTED_PATH = "/etc/systemd/system/firewalld.service.d/conntrim.conf"
SCRIPT_PATH = "/etc/conntrim/firewalld.sh"
NEEDED = ("nft", "busctl", "firewall-cmd")
START = f"systemctl daemon-reload && systemctl start {UNIT}"
"""What makes it work before the next boot."""

# firewalld takes its name on the bus before it has loaded its rules, so After= is too early: --state waits.
UNIT_TEXT = f"""\
{MARK}
[Unit]
Description=Services that go without connection tracking, beside firewalld (conntrim)
After=firewalld.service
PartOf=firewalld.service

[Service]
ExecStartPre={{cmd}} --state
ExecStart=/bin/sh {SCRIPT_PATH}
Restart=on-failure
RestartSec=5
"""
# One load holds the accepts and the untracking: without firewalld's table it fails whole, and services stay tracked.
SCRIPT_TEXT = f"""\
{MARK}
# firewalld makes its table anew at each start and reload: our rules are loaded again where it lacks them.
# The first line of busctl says that it listens, the others are that a reload is done.
cd "${{{{0%/*}}}}" || exit 1
there() {{{{ {{nft}} list {TABLE} | grep -qF {{mark}}; }}}}
{{busctl}} monitor --match="type='signal',interface='org.fedoraproject.FirewallD1',member='Reloaded'" 2>&1 |
while read -r _; do
\twhile [ -e untrack.nft ] && ! there && ! {{nft}} -f ./untrack.nft; do sleep 5; done
\t[ -e untrack.nft ] || exit 0
done
[ ! -e untrack.nft ]
"""
WANTED_TEXT = f"{MARK}\n[Unit]\nWants={UNIT}\n"


def all_in_firewalld(ours: Mapping[str, Sequence[Placed]]) -> bool:
    """There are rules of ours in chains of others, and these are firewalld's."""
    return bool(ours) and all(name.startswith(f"{TABLE} chain ") for name in ours)


def firewalld_alone(listing: str, ours: Mapping[str, Sequence[Placed]]) -> str:
    """firewalld's table without our rules: what its start makes."""
    mine = {rule.text for placed in ours.values() for rule in placed}
    lines = nft_table(listing, TABLE.removeprefix("table ")).splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() not in mine)


def beside_firewalld(listing: str, ours: Mapping[str, Sequence[Placed]]) -> str:
    """The own table, and our accepts put before all rules of firewalld's chains: the last one that goes in is first."""
    rows = [
        f"insert rule {name.removeprefix('table ').replace(' chain ', ' ')} {rule.text}\n"
        for name, placed in ours.items()
        for rule in reversed(placed)
    ]
    return own_file(listing) + "".join(rows)


def firewalld_files(
    text: str, ours: Mapping[str, Sequence[Placed]], found: Mapping[str, str]
) -> tuple[FileChange, ...]:
    """What is loaded, what loads it, and when; `found` are the absolute paths of the programs `NEEDED`.

    By the comment of the first of our accepts the script tells whether they are there.
    """
    first = next(rule.text for placed in ours.values() for rule in placed)
    mark = shlex.quote(first[first.index('comment "') :])
    script = SCRIPT_TEXT.format(nft=found["nft"], busctl=found["busctl"], mark=mark)
    return (
        FileChange(OWN_FILES["nft"], text),
        FileChange(SCRIPT_PATH, script),
        FileChange(UNIT_PATH, UNIT_TEXT.format(cmd=found["firewall-cmd"])),
        FileChange(WANTED_PATH, WANTED_TEXT),
    )
