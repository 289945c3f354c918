"""One piece of work in a process of its own: `python -m bench.child WORK NETNS`; prints what it cost as JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from conntrim.app.census import take_census
from conntrim.host.flows import CT_GET, NETLINK_NETFILTER, NFGENMSG, KernelFlows
from conntrim.host.netlink import NLM_F_DUMP, NLMSG_DONE, READ, Netlink, messages
from conntrim.host.viewpoint import kernel_viewpoint


def raw(netns: str) -> int:
    """The dump read with one buffer and thrown away; its bytes."""
    total, buffer = 0, memoryview(bytearray(READ))
    with Netlink(NETLINK_NETFILTER, "bench", netns) as link:
        link.send(CT_GET, NLM_F_DUMP, NFGENMSG)
        while True:
            read = link.receive_into(buffer)
            total += read
            if read < READ // 4 and any(kind == NLMSG_DONE for kind, _ in messages(bytes(buffer[:read]))):
                return total


def exact(netns: str) -> int:
    """Our census of all entries."""
    return take_census(KernelFlows(netns), kernel_viewpoint(netns), 20).total


def added(netns: str) -> int:
    """The exact census once more; what the cross table, the sketches and the specimen take of it is `part`."""
    from conntrim.core.census import take  # noqa: PLC0415  # only this work looks inside

    taken: list[float] = []

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        def timing(*arguments: Any) -> Any:
            start = time.thread_time()
            try:
                return work(*arguments)
            finally:
                taken.append(time.thread_time() - start)

        return timing

    for owner, name in (
        (take.HeavyTally, "add"), (take.HeavyTally, "clients"), (take.HeavyTally, "servers"),
        (take.HeavyTally, "pairs"), (take.SpecimenTaker, "add"), (take.SpecimenTaker, "specimen"), (take, "cells"),
        (take, "names_of"), (take, "pair_names_of"),
    ):  # fmt: skip
        setattr(owner, name, timed(getattr(owner, name)))
    start = time.process_time()
    exact(netns)
    PART.append(sum(taken))
    REST.append(time.process_time() - start - sum(taken))
    return len(taken)


PART: list[float] = []
REST: list[float] = []
"""CPU seconds that `added` counted, and those of all else of the census, the kernel's among them."""


def sampled(netns: str) -> int:
    """Our census of a sample."""
    return take_census(KernelFlows(netns), kernel_viewpoint(netns), 20, "auto").total


def pyroute2(netns: str) -> int:
    """pyroute2's dump, each entry decoded and thrown away."""
    from pyroute2 import NFCTSocket  # noqa: PLC0415  # only this work needs it

    with NFCTSocket(netns=netns) as socket:
        return sum(1 for _ in socket.dump())


def cli(netns: str) -> int:
    """The command itself, its output thrown away; its exit code."""
    from conntrim.cli.main import run  # noqa: PLC0415

    with open(os.devnull, "w", encoding="ascii") as sink, redirect_stdout(sink):
        return run(["census", "--netns", netns, "--sample", "exact"])


def peak_mb() -> float:
    """This process's own largest memory; ru_maxrss would include that of the process that started it."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


WORKS: dict[str, Callable[[str], int]] = {
    "raw": raw, "exact": exact, "added": added, "sampled": sampled, "pyroute2": pyroute2, "cli": cli,
}  # fmt: skip


def main(work: str, netns: str) -> None:
    """Do it once and print seconds, CPU seconds and peak memory; NumPy is loaded before the clock starts."""
    np.unique(np.arange(10))
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    result = WORKS[work](netns)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "seconds": seconds, "user": after.ru_utime - before.ru_utime, "system": after.ru_stime - before.ru_stime,
        "peak_mb": peak_mb(), "result": result, "part": sum(PART), "rest": sum(REST),
    }))  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
