"""The fuzz run: `python -m tests.fuzz.run --minutes 10 --seed 1`. What fails is shrunk and kept beside this file."""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.fuzz.acting import HERE, Prepare, acting, directory_of, journals, plan_files, rules_of
from tests.fuzz.mutate import HOWS, SHAPELY, mutated
from tests.fuzz.watched import Ended, How, warm, watched
from tests.lab.test_kept import KINDS

TESTS = Path(__file__).parents[1]
KEPT = Path(__file__).parent / "kept"
CORPUS = Path(os.environ.get("CONNTRIM_CORPUS", TESTS.parents[1] / "shared/corpus"))
LARGEST = 60_000
ACTING, COMMAND = 0.03, 0.02
"""Shares of the runs on a host of their own, and of those as the command itself."""
NETNS = "conntrim-fuzz-none"
PACKET = ["-p", "tcp", "-s", "192.0.2.1", "-d", "192.0.2.2", "--sport", "4000", "--dport", "80", "-i", "eth0"]
TABLE = str(TESTS / "golden/tables/nf_conntrack.txt")
SAVE = str(TESTS / "golden/hosts/cache.save")
POLICY = b"""[[untrack]]
direction = "inbound"
protocol = "tcp"
ports = [80, "8000-8010"]
from = ["192.0.2.0/24"]
[[untrack]]
direction = "outbound"
protocol = "udp"
ports = [53]
to = ["192.0.2.53", "2001:db8::53"]
[table]
max = 262144
[timeouts]
nf_conntrack_tcp_timeout_time_wait = 30
"""
WEB = b'[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\n'
IPSET = b"""create a hash:ip family inet hashsize 1024 maxelem 65536
add a 192.0.2.1
create b hash:net,port
add b 10.0.0.0/8,tcp:80
"""
LOG = b"""[ 12.5] nf_conntrack: nf_conntrack: table full, dropping packet
Apr 14 22:31:12 c kernel: ip_conntrack: table full, dropping packet.
"""
EXPLAIN = b"-p tcp -s 192.0.2.1 -d 192.0.2.2 --sport 4000 --dport 80 -i eth0 --flags syn --mark 0 --icmp 8/0"


@dataclass(frozen=True, slots=True)
class Kind:
    """Seeds, and the verbs that read what is made of them; `{}` is the file."""

    seeds: tuple[bytes, ...]
    verbs: tuple[tuple[str, ...], ...]
    place: Callable[[Path], Path] = lambda folder: folder / "input"
    prepare: Prepare | None = None
    """What makes a host of its own for a run."""


def _read(paths: Iterator[Path]) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(paths) if path.is_file() and path.stat().st_size < LARGEST)


def kinds() -> dict[str, Kind]:
    """All inputs that somebody else may have written."""
    saves = _read(TESTS.glob("golden/hosts/*.save")) + _read(CORPUS.glob("iptables/*"))
    nft = _read(TESTS.glob("golden/hosts/*.json")) + _read(CORPUS.glob("nft/*")) or (b'{"nftables": []}',)
    rules = (
        ("check", "{}"),
        ("check", "{}", "--format", "sarif"),
        ("explain", *PACKET, "--ruleset", "{}"),
        ("compare", SAVE, "{}"),
        ("explain", *PACKET, "--connection", "--json", "--ruleset", "{}"),
        ("plan", TABLE, "--ruleset", "{}", "-o", "{}.plan"),
    )
    tables = (("census", "{}"), ("census", "{}", "--by", "peer", "--json"), ("diagnose", "{}", "--max", "100"))
    kept = TESTS / "lab/kept"
    policy = (("plan", "--policy", "{}", "--ruleset", SAVE), ("plan", "--policy", "{}", "--ruleset", SAVE, "--json"))
    return {
        "save": Kind(saves, rules),
        "nft": Kind(nft, rules),
        "ipset": Kind((IPSET,), (("check", SAVE, "{}"),)),
        "table": Kind(_read(TESTS.glob("golden/tables/*")), tables),
        "log": Kind((LOG,), (("diagnose", TABLE, "--log", "{}"),)),
        "policy": Kind((POLICY,), policy),
        "explain": Kind((EXPLAIN,), (("explain", "--ruleset", SAVE),)),
        "plan": Kind(
            _read(kept.glob("*/plan/plan.json")),
            (("apply", "{dir}", "--netns", NETNS, "--state", "{dir}"),),
            lambda folder: folder / "plan.json",
        ),
        "journal": Kind(
            _read(kept.glob("*/*.json")),
            tuple((verb, "--netns", NETNS, "--state", "{dir}") for verb in ("status", "rollback", "confirm")),
            lambda folder: folder / f"netns-{NETNS}.json",
        ),
    }


def _within(name: str, folder: Path) -> Path:
    return folder / name


def acting_kinds() -> dict[str, Kind]:
    """Journals and plans of a host that has the rules they speak of."""
    on = ("--netns", HERE, "--state", "{dir}/state")
    verbs = tuple((*words, *on) for words in (("status",), ("status", "--clean"), ("rollback",), ("confirm",)))
    found = {
        f"acted_{name}_{dialect.replace('-', '')}": Kind(
            (journals(dialect, name),), verbs, partial(_within, f"state/netns-{HERE}.json"),
            rules_of(dialect, name),
        )
        for dialect in KINDS
        for name in ("trial", "confirmed")
    }  # fmt: skip
    for dialect in KINDS:
        for file in ("plan.json", "policy.toml"):
            found[f"applied_{file[:4]}_{dialect.replace('-', '')}"] = Kind(
                (plan_files(WEB, dialect)[file],), (("apply", "{dir}/plan", *on),),
                partial(_within, f"plan/{file}"), directory_of(WEB, dialect),
            )  # fmt: skip
    return found


def tried(kind: str, verb: tuple[str, ...], data: bytes, among: dict[str, Kind], how: How = How.WATCHED) -> Ended:
    """One input, one verb, in a folder of its own."""
    folder, prepare = Path(tempfile.mkdtemp(prefix="conntrim-fuzz-")).resolve(), among[kind].prepare
    try:
        with acting(prepare, folder) if prepare else nullcontext() as host:
            name = host.name if host else HERE
            path = Path(str(among[kind].place(folder)).replace(HERE, name))
            path.write_bytes(data.replace(HERE.encode(), name.encode()))
            words = [w.replace("{}", str(path)).replace("{dir}", str(folder)).replace(HERE, name) for w in verb]
            if kind == "explain":
                words += [word for word in data.decode("utf-8", "surrogateescape").replace("\0", "").split(" ") if word]
            return watched(words, folder, how, name if host else None)
    finally:
        shutil.rmtree(folder)


def shrunk(data: bytes, again: Callable[[bytes], Ended]) -> bytes:
    """The same kind of fault with less: halves, quarters, ... taken out while it stays."""
    size, tries, fault = len(data) // 2, 0, again(data).fault
    while size and tries < 200:
        for at in range(0, len(data), size):
            less, tries = data[:at] + data[at + size :], tries + 1
            if again(less).fault[:30] == fault[:30]:
                data = less
                break
            if tries >= 200:
                break
        else:
            size //= 2
    return data


def fuzz(seconds: float, seed: int) -> tuple[Counter[str], list[str]]:
    """Runs by kind, and the faults."""
    chance, among = random.Random(seed), kinds() | (acting_kinds() if os.geteuid() == 0 else {})
    warm()
    runs, faults, seen = Counter[str](), list[str](), set[str]()
    reading, deep = [k for k in among if not among[k].prepare], [k for k in among if among[k].prepare]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        kind = chance.choice(deep if deep and chance.random() < ACTING else reading)
        seeds, verb = among[kind].seeds, chance.choice(among[kind].verbs)
        how = How.COMMAND if kind in reading and chance.random() < COMMAND else How.WATCHED
        hows = SHAPELY if kind in deep else HOWS
        data = mutated(chance.choice(seeds), chance.choice(seeds), chance, hows)
        ended = tried(kind, verb, data, among, how)
        runs[kind if how is How.WATCHED else "as the command"] += 1
        mark = f"{kind} {verb[0]} {ended.fault[:60]}"
        if ended.fault and mark not in seen:
            seen.add(mark)
            faults.append(f"{kind}: {' '.join(verb)}: {ended.fault}")
            less = shrunk(data, partial(tried, kind, verb, among=among, how=how))
            _keep(kind, among[kind].verbs.index(verb), less)
    return runs, faults


def _keep(kind: str, at: int, data: bytes) -> None:
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{kind}-{at}-{hashlib.sha256(data).hexdigest()[:8]}").write_bytes(data)


def main() -> None:
    """The figures, and what failed."""
    options = argparse.ArgumentParser()
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    runs, faults = fuzz(given.minutes * 60, given.seed)
    print(f"{sum(runs.values()):,} runs in {given.minutes:g} minutes, seed {given.seed}: {dict(runs)}")
    print("\n".join(faults) if faults else "no fault")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
