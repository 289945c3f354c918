"""The commands that remedies consist of are taken by this machine's own programs."""

from __future__ import annotations

from conntrim.core.diagnose.causes.registry import causes
from conntrim.core.model.errors import HostError
from conntrim.lab.fill import track
from conntrim.lab.netns import LabHost
from tests.unit.core.diagnose.listings import case
from tests.unit.core.diagnose.test_causes import MADE

PROGRAMS = ("nft", "iptables", "ip6tables", "conntrack", "sysctl")


def commands() -> dict[str, None]:
    """Every command of every remedy of the tables that are made in the unit tests."""
    tables = ([*lines(), *(beside() if beside else ())] for _, lines, beside, _ in MADE.values())
    local = [row[3] for row in MADE.values()]
    found = (cause for table, own in zip(tables, local, strict=True) for cause in causes(case(table, local=own)))
    return dict.fromkeys(how for cause in found for remedy in cause.remedies for how in remedy.how)


def test_every_command_is_taken(host: LabHost) -> None:
    """nft, iptables, conntrack and sysctl carry out what is advised, in a namespace of its own; to delete entries where
    there are none is no error of the command.
    """
    track(host.name)
    refused = []
    wanted = [how for how in commands() if how.split()[0] in PROGRAMS]
    for how in wanted:
        try:
            host.run("sh", "-c", how)
        except HostError as error:
            if "0 flow entries have been deleted" not in str(error):
                refused.append((how, str(error)))
    assert refused == []
    assert len(wanted) > 30
