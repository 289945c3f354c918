"""The global sizes are put back and hosts deleted, also after a run that was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from conntrim.host import programs
from conntrim.lab.limits import LOCK, global_limits
from conntrim.lab.netns import lab_host, sweep

MAX = Path("/proc/sys/net/netfilter/nf_conntrack_max")

SCRIPT = """
import time
from conntrim.lab.limits import global_limits
from conntrim.lab.netns import lab_host
from conntrim.host.signals import orderly_end
with orderly_end(), {contexts}:
    {body}
    print('ready', flush=True)
    time.sleep(60)
"""


def ended(number: signal.Signals, contexts: str, body: str = "pass") -> None:
    """Run a lab of those contexts until it is ready, and end it with a signal."""
    script = SCRIPT.format(contexts=contexts, body=body)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert "ready\n" == run.stdout.readline()
        os.kill(run.pid, number)


def test_the_old_size_comes_back() -> None:
    """Inside the context the size is ours, after it the old one, and the lock file holds nothing."""
    before = MAX.read_text()
    with global_limits(nf_conntrack_max=12_345):
        assert "12345\n" == MAX.read_text()
    assert before == MAX.read_text()
    assert "{}" == Path(LOCK).read_text()


def test_the_next_run_puts_back_what_a_killed_one_left() -> None:
    """SIGKILL leaves the size changed; the next run restores it before it sets its own."""
    before = MAX.read_text()
    ended(signal.SIGKILL, "global_limits(nf_conntrack_max=12_347)")
    assert "12347\n" == MAX.read_text()
    with global_limits(nf_conntrack_max=12_345):
        pass
    assert before == MAX.read_text()


def test_sigterm_ends_the_lab_in_order() -> None:
    """A lab run that gets SIGTERM deletes its host and puts the size back before it ends."""
    before = MAX.read_text()
    ended(signal.SIGTERM, "lab_host('term'), global_limits(nf_conntrack_max=12_347)")
    assert before == MAX.read_text()
    assert [] == [name for name in os.listdir("/run/netns") if "-term-" in name]


def test_sweep_deletes_what_killed_runs_left_and_nothing_else() -> None:
    """A namespace named after a dead process goes with its daemons, one named after a living process stays."""
    ended(signal.SIGKILL, "lab_host('swept') as host", "host.start('sleep', '61')")
    (left,) = [name for name in os.listdir("/run/netns") if "-swept-" in name]
    (daemon,) = programs.run(["ip", "netns", "pids", left]).split()
    with lab_host("kept") as host:
        sweep()
        names = os.listdir("/run/netns")
        assert host.name in names
        assert left not in names
    assert not Path(f"/proc/{daemon}/exe").exists()
