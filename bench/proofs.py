"""What a proof costs: `check` and `compare` as whole processes, beside z3, and one added service in this process.

`python -m bench.proofs` prints the rows that `make bench` shows, `python -m bench.proofs nodes` those of nodes and
sets. The large files are the corpus's where there is one (../shared/corpus or $CONNTRIM_CORPUS); what is made is always
there.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.kube_node import BASE, PER_SERVICE, kube_node
from bench.large_set import NETWORKS, ipset_host
from bench.random_rules import random_rules
from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.policy import Policy
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.parse.policy import parse_policy
from conntrim.core.parse.ruleset import read
from conntrim.core.plan.obligations.decide import decide
from conntrim.core.prove.compare import compare
from conntrim.core.prove.populations import DIRECTIONS
from conntrim.core.prove.rule_index import Listed
from conntrim.lab.netns import lab_host

ROOT = Path(__file__).parent.parent
CORPUS = Path(os.environ.get("CONNTRIM_CORPUS", ROOT.parent / "shared" / "corpus")) / "iptables"
CHAIR = "ip4__configs_chair_for_Network_Architectures_and_Services__iptables-save-"
LARGEST = CORPUS / f"{CHAIR}2016-06-27_16-29-01.save"
SNAPSHOTS = (CORPUS / f"{CHAIR}2015-05-13_10-53-20.save", CORPUS / f"{CHAIR}2015-05-15_14-35-03.save")
LOCAL, PORTS = Intervals.of(parse_address("192.0.2.1")), (32768, 60999)


@dataclass(frozen=True, slots=True)
class Row:
    """One promise: what was measured, in `unit`, and the goal (None: for information)."""

    name: str
    measured: float
    unit: str
    way: str = ""
    goal: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the promise is kept."""
        if self.goal is None:
            return None
        return self.measured <= self.goal if self.way == "<=" else self.measured >= self.goal


def process(*command: str) -> float:
    """Seconds of a whole process that ends with 0 or 1 (findings, differences); of ours, those that it tells."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in (0, 1):
        raise SystemExit(f"{command} failed")
    return float(done.stdout) if command[0] == "bench.proofs" else seconds


def added(service: int, before: Ruleset) -> tuple[Ruleset, Policy]:
    """The rule set with one more service untracked, and its policy; what was there is shared, as a plan shares it."""
    text = "\n".join([
        "*raw", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]",
        f"-A PREROUTING -p tcp -m tcp --dport {service} -m addrtype --dst-type LOCAL -j CT --notrack",
        f"-A OUTPUT -p tcp -m tcp --sport {service} ! --syn -j CT --notrack",
        f"-A OUTPUT -o lo -p tcp -m tcp --dport {service} -j CT --notrack", "COMMIT",
        "*filter", ":INPUT DROP [0:0]",
        f"-A INPUT -p tcp -m tcp --dport {service} -m conntrack --ctstate UNTRACKED -j ACCEPT", "COMMIT", "",
    ])  # fmt: skip
    raw, more = read(text, "plan").tables
    (table,) = before.tables
    chains = tuple(replace(c, rules=more.chains[0].rules + c.rules) if c.name == "INPUT" else c for c in table.chains)
    entry = f'[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [{service}]\n'
    return Ruleset((raw, replace(table, chains=chains))), parse_policy(entry.encode(), "policy")


def proofs(count: int, services: int) -> Iterator[float]:
    """Seconds that proving one more service takes, service by service. Its accept comes first: whom other rules refuse
    it newly lets in, and to tell who that is is part of the proof."""
    ports = range(2001, 2001 + services)  # no other rule has them, but for the wide ones
    accepts = (f"-A INPUT -p tcp -m tcp --dport {service} -j ACCEPT" for service in ports)
    before = read("\n".join([*random_rules(count), *accepts, "COMMIT", ""]), "host")
    listed = Listed((before,))  # belongs to reading the rules: a plan does it once for both of its proofs
    listed.bounds(Family.IPV4)
    for service in ports:
        after, policy = added(service, before)
        start = time.perf_counter()
        found = decide(before, after, policy, LOCAL, PORTS, listed=listed)
        yield time.perf_counter() - start
        assert all(o.standing is not ObligationStatus.NOT_DECIDED for o in found.obligations)


def asked(who: str, before: str, after: str) -> None:
    """Whether AFTER treats any packet otherwise than BEFORE; prints the seconds of CPU that the answer takes, rules
    read."""
    pair = read(Path(before).read_bytes().decode(), before), read(Path(after).read_bytes().decode(), after)
    start = time.process_time()
    ASKED[who](pair)
    print(time.process_time() - start)


def ask_z3(pair: tuple[Ruleset, Ruleset]) -> None:
    """One question for each direction, any ct state; a yes comes with one packet."""
    import z3  # noqa: PLC0415  # the one process that needs it

    from bench.peer_z3 import Peer  # noqa: PLC0415

    for direction in DIRECTIONS:
        peer, solver = Peer(Family.IPV4, pair), z3.SolverFor("QF_BV")
        one, other = (peer.admitted(ruleset, direction) for ruleset in pair)
        solver.add(peer.packets(direction), one != other)
        solver.check()


def ask_us(pair: tuple[Ruleset, Ruleset]) -> None:
    """The whole answer: every difference in readable boxes, for unsolicited packets, connections and errors."""
    compare(*pair)


ASKED: dict[str, Callable[[tuple[Ruleset, Ruleset]], None]] = {"z3": ask_z3, "us": ask_us}


def corpus_rows(rounds: int) -> Iterator[Row]:
    """The fastest of some rounds; each round runs one after the other, so that noise hits all."""
    if not LARGEST.exists():
        print(f"no corpus at {CORPUS}: its rows are left out", file=sys.stderr)
        return
    names = [str(path) for path in SNAPSHOTS]
    works = {"check": ("conntrim", "check", str(LARGEST)), "compare": ("conntrim", "compare", *names),
             "us": ("bench.proofs", "us", *names), "z3": ("bench.proofs", "z3", *names)}  # fmt: skip
    turns = [{name: process(*work) for name, work in works.items()} for _ in range(rounds)]
    best = {name: min(turn[name] for turn in turns) for name in works}
    yield Row("check of a 5,556-rule host", best["check"], "s", "<=", 1.5)
    yield Row("compare of two 4,900-rule snapshots", best["compare"], "s", "<=", 2)
    yield Row("the comparison alone, rules read", best["us"], "s")
    yield Row("the same question asked of z3", best["z3"], "s")
    yield Row("z3 / comparison", best["z3"] / best["us"], "x", ">=", 4)


def spent(*command: str) -> float:
    """Seconds of CPU of a whole process that ends with 0 or 1, which no neighbour on the machine adds to."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{command} failed")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


RESTORE = "iptables-nft-restore --test"
"""Who reads a node's rules as we do, and proves nothing about them: in a namespace of its own, where there is one."""


def node_rows(rounds: int) -> Iterator[Row]:
    """A plan, a check and a comparison of nodes of kube-proxy, and a check of a host with a large set, beside who else
    reads such files, and z3: seconds of CPU, the least of some rounds."""
    small, large = BASE + 1_000 * PER_SERVICE, BASE + 5_000 * PER_SERVICE
    plan, check = f"plan of one service on a node of {small:,} rules", f"check of a node of {large:,} rules"
    compare, sets = "compare of two such, one service added", f"check with a set of {NETWORKS:,} networks"
    goals = {plan: 2.0, check: 2.5, compare: 3.0, sets: 1.5}
    with tempfile.TemporaryDirectory() as there, lab_host("bench") as host:
        policy = Path(there) / "ssh.toml"
        policy.write_text('[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [22]\n')
        node = {count: str(Path(there) / f"{count}.save") for count in (1_000, 1_001, 5_000, 5_001)}
        for count, path in node.items():
            Path(path).write_text(kube_node(count))
        blocked = Path(there) / "set.save"
        blocked.write_text(ipset_host(NETWORKS))
        ours = {
            plan: ("plan", "--policy", str(policy), "--ruleset", node[1_000], "--local", "192.0.2.1"),
            check: ("check", node[5_000]),
            compare: ("compare", node[5_000], node[5_001]),
            sets: ("check", str(blocked)),
        }
        restore = ("ip", "netns", "exec", host.name, *RESTORE.split(), node[5_000])
        turns = []
        for _ in range(rounds):
            turn = {name: spent(sys.executable, "-m", "conntrim", *work) for name, work in ours.items()}
            turns.append(turn | {RESTORE: spent(*restore)})
        best = {name: min(turn[name] for turn in turns) for name in turns[0]}
        for name, goal in goals.items():
            yield Row(name, best[name], "s", "<=", goal)
        yield Row(f"{RESTORE} of {large:,} rules", best[RESTORE], "s")
        yield Row(f"check / {RESTORE}", best[check] / best[RESTORE], "x")
        asked = {who: process("bench.proofs", who, node[1_000], node[1_001]) for who in ("us", "z3")}
        yield Row(f"z3 / comparison of two nodes of {small:,} rules", asked["z3"] / asked["us"], "x", ">=", 4)


def rows(rounds: int) -> list[Row]:
    """All of them."""
    found = [*corpus_rows(rounds), *node_rows(rounds)]
    found.append(Row("one added service, 10,000 rules, median", median(proofs(10_000, 9)) * 1000, "ms", "<=", 50))
    found.append(Row("one added service, 50,000 rules", median(proofs(50_000, 3)) * 1000, "ms", "<=", 60_000))
    return found


def table(found: list[Row]) -> str:
    """The rows as text."""
    lines = [f"{'proof':50} {'measured':>9}    {'goal':>8}"]
    for row in found:
        goal = "" if row.goal is None else f"{row.way} {row.goal:g}"
        lines.append(
            f"{row.name:50} {row.measured:9.2f} {row.unit:2} {goal:>8}{'  missed' if row.met is False else ''}"
        )
    return "\n".join(lines)


def as_json(found: list[Row]) -> list[dict[str, Any]]:
    """The rows for latest.json."""
    return [
        {"name": r.name, "measured": r.measured, "unit": r.unit, "way": r.way, "goal": r.goal, "met": r.met}
        for r in found
    ]


if __name__ == "__main__":
    if sys.argv[1:] == ["nodes"]:
        print(table(list(node_rows(3))))
    elif sys.argv[1:]:
        asked(*sys.argv[1:])
    else:
        print(table(rows(3)))
