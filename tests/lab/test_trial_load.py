"""The kernel asked about a trial's batches: what a check lets pass and a load does not, and what stays afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from conntrim import wiring
from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import Batch
from conntrim.core.rollout.record import Guard
from conntrim.host.clock import HostClock
from conntrim.host.loader import HostLoader
from conntrim.lab.netns import LabHost, lab_host
from tests.lab.test_rollout import until

RESTORES = ("iptables-nft-restore", "iptables-legacy-restore")
REFUSED = "-A INPUT -m rpfilter -j ACCEPT"
"""No kernel takes rpfilter in a filter table; both programs can spell it."""
LIMIT = """\
*filter
:CONNTRIM-LIMIT-1 - [0:0]
-A CONNTRIM-LIMIT-1 -m connlimit --connlimit-above 30 --connlimit-mask 32 --connlimit-saddr -j REJECT
-I office 2 -m time --datestop @DEADLINE@ -m set --match-set guests src -j theirs
-I INPUT 1 -m time --datestop @DEADLINE@ -j CONNTRIM-LIMIT-1
{more}COMMIT
"""
HOST = "*filter\n:INPUT ACCEPT [0:0]\n:office - [0:0]\n:theirs - [0:0]\n-A office -s 10.0.0.1/32 -j ACCEPT\nCOMMIT\n"


@pytest.fixture
def host() -> Iterator[LabHost]:
    """A host without rules."""
    with lab_host("asked") as made:
        yield made


def rules(host: LabHost, program: str) -> list[str]:
    """The listing without its dates."""
    return [line for line in host.run(program.replace("-restore", "-save")).split("\n") if not line.startswith("#")]


@pytest.mark.parametrize("program", RESTORES)
def test_a_check_asks_no_kernel_and_a_trial_load_names_the_statement(host: LabHost, program: str) -> None:
    """`--test` lets pass what the load refuses (K168); the complaint begins with the statement, and nothing of the
    question stays on the host."""
    host.run(program, text=HOST)
    host.run("ipset", "create", "guests", "hash:ip")
    before = rules(host, program)
    bad = Batch(program, LIMIT.format(more=f"{REFUSED}\n"))
    loader, guard = HostLoader(host.name), Guard.starting(HostClock().now(), 60)
    loader.check(bad, guard)
    with pytest.raises(HostError):
        loader.load(bad, guard)
    ask = wiring.batch_check(host.name)
    assert ask(bad).startswith(f"{REFUSED}: ")
    assert ask(Batch(program, LIMIT.format(more=""))) == ""
    assert rules(host, program) == before


def test_nft_asks_the_kernel_by_itself(host: LabHost) -> None:
    """What nft can spell and no kernel takes is refused by `nft -c` already (K168)."""
    bad = Batch("nft", "add table inet conntrim\nadd chain inet conntrim x { type nat hook forward priority 0; }\n")
    with pytest.raises(HostError):
        HostLoader(host.name).check(bad, Guard.starting(HostClock().now(), 60))
    assert "conntrim x" in wiring.batch_check(host.name)(bad)
    assert host.run("nft", "list", "ruleset") == ""


KILLED = """\
import os, signal
from conntrim.host import programs
from conntrim.host.netns import fresh
with fresh() as path:
    programs.run(["ip", "link", "add", "here", "type", "veth", "peer", "name", "there"])
    programs.run(["ip", "link", "set", "there", "netns", f"/proc/{os.getpid()}/fd/{path.rpartition('/')[2]}"])
    print(programs.run(["ip", "-o", "link"]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_question_leaves_no_namespace(host: LabHost) -> None:
    """The namespace goes with the process that made it: a link whose other end was in it goes as well."""
    argv = ["ip", "netns", "exec", host.name, sys.executable, "-c", KILLED]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert "here@if" in done.stdout
    assert until(lambda: "here" not in host.run("ip", "-o", "link"))
