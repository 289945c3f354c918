"""Loads rules: the restore programs and nft, fed on standard input; and what of ours the kernel lists."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from conntrim.core.model.ct_timeout import TimeoutPolicy
from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import (
    DEADLINE,
    HANDLE,
    KEPT_LIST,
    POLICIES,
    PROGRAMS,
    RESTORE,
    SECONDS,
    TRIAL_LIST,
    Batch,
)
from conntrim.core.parse.ct_timeout import policies_of
from conntrim.core.rollout.claim import Claim
from conntrim.core.rollout.counts import counted_nft, counted_xt
from conntrim.core.rollout.ours import altered, own_nft, own_policies, own_xt, sweep_nft, sweep_xt, xt_tables
from conntrim.core.rollout.record import Guard
from conntrim.core.rollout.stores import family_of
from conntrim.core.rollout.swap import FLIPPED, recent
from conntrim.host import programs
from conntrim.host.clock import HostClock
from conntrim.host.ct_timeouts import CtTimeouts
from conntrim.host.netns import entered

TIMEOUT = 60.0
"""Seconds until a program counts as hung: 10,000 rules load in under one."""
LOOKS = 10
"""Looks at rules that others are changing, until that is a failure."""
XT_WAIT = "--wait=10"
"""iptables-legacy: wait for the xtables lock rather than fail."""
LISTS = "/proc/thread-self/net/xt_recent"
"""The kernel's lists of addresses and when they were seen, of both families and both back ends."""
_HANDLE = re.compile(HANDLE + r' (\S+) (\S+) (\S+) "([^"]*)"@')


class HostLoader:
    """The rules of the namespace `netns`; None: ours."""

    def __init__(self, netns: str | None) -> None:
        self.netns = netns

    def check(self, batch: Batch, guard: Guard) -> None:
        """Would the kernel take this batch now? Changes nothing."""
        self._feed(batch, guard, testing=True)

    def load(self, batch: Batch, guard: Guard) -> None:
        """Load a batch, in one transaction: all of it or, with HostError, nothing."""
        self._feed(batch, guard, testing=False)

    def _feed(self, batch: Batch, guard: Guard, testing: bool) -> None:
        refuse_unknown(batch.program)
        if batch.program == POLICIES:
            self._make_policies(policies_of(batch.text), testing)
            return
        text = self._resolved(batch.text, batch.program, guard)
        if batch.program == "nft":
            argv = ["nft", *(["-c"] if testing else []), "-f", "-"]
        else:
            argv = [batch.program, "--noflush", XT_WAIT, *(["--test"] if testing else [])]
        self._run(argv, text)

    def _make_policies(self, policies: Sequence[TimeoutPolicy], testing: bool) -> None:
        """Make or delete them; only tested, the kernel has such things, and a name that is wanted is free."""
        kernel = CtTimeouts(self.netns)
        if not testing:
            kernel.done(policies)
            return
        there = {each.name for each in kernel.listed()}
        if taken := [each.name for each in policies if each.seconds and each.name in there]:
            raise HostError(POLICIES, f"there is a time-out policy {taken[0]} already", advice="nfct list timeout")

    def _run(self, argv: Sequence[str], text: str | None = None) -> str:
        return programs.run(argv, text=text, netns=self.netns, timeout=TIMEOUT)

    def _resolved(self, text: str, program: str, guard: Guard) -> str:
        """A batch's text with the guard's times and the rules' handles in it."""
        text = text.replace(f"--datestop {DEADLINE}", f"--datestop {guard.datestop()}{_recent(program, guard)}")
        if SECONDS in text:
            text = text.replace(SECONDS, guard.timeout(HostClock().now()))
        return _settled(lambda: self._with_handles(text)) if HANDLE in text else text

    def _with_handles(self, text: str) -> str:
        """All handles out of one look at each chain."""
        chains: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        return _HANDLE.sub(lambda found: self._handle(chains, found.groups()[:3], found[4]), text)

    def offers_recent(self) -> bool:
        """Only to the machine's own root does /proc give the list to write to."""
        try:
            with open("/proc/self/uid_map", encoding="ascii") as file:
                return file.read().split()[:3] == ["0", "0", "4294967295"]
        except OSError:
            return False

    def fill(self, name: str) -> None:
        """Put every address into a list of `-m recent`, seen now: the masked one of every packet."""
        self._write_list(name, "+0.0.0.0", "+::")

    def empty(self, name: str) -> None:
        """Take everything out of a list; the kernel keeps one for a moment after its last rule is gone."""
        try:
            self._write_list(name, "/")
        except HostError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise

    def _write_list(self, name: str, *commands: str) -> None:
        path = f"{LISTS}/{name}"
        try:
            with entered(self.netns):
                for command in commands:
                    with open(path, "w", encoding="ascii") as file:
                        file.write(f"{command}\n")
        except OSError as error:
            raise HostError(f"writing {path}", error.strerror or str(error)) from error

    def _handle(self, seen: dict[tuple[str, ...], list[dict[str, Any]]], chain: tuple[str, ...], comment: str) -> str:
        """The handle of the rule with that comment. HostError where no rule, or more than one, has it."""
        if chain not in seen:
            listing = msgspec.json.decode(self._run(["nft", "-j", "-a", "list", "chain", *chain]))
            seen[chain] = [item["rule"] for item in listing["nftables"] if "rule" in item]
        handles = [rule["handle"] for rule in seen[chain] if rule.get("comment") == comment]
        if len(handles) != 1:
            found = f"{len(handles)} rules have the comment {comment!r}, expected one"
            raise HostError(f"nft list chain {' '.join(chain)}", found)
        return str(handles[0])

    def own(self, programs: Sequence[str], claim: Claim) -> tuple[str, ...]:
        """Our rules as these programs list them now, one text each, without counters, handles and times."""
        rules = tuple(text for program in programs for text in self._own(program, claim))
        pending = any(f" --name {KEPT_LIST} " in rule for rule in rules)
        return (*rules, FLIPPED) if pending and self._filled(KEPT_LIST) else rules

    def _filled(self, name: str) -> bool:
        try:
            with entered(self.netns), open(f"{LISTS}/{name}", encoding="ascii") as file:
                return file.read() != ""
        except OSError:
            return False

    def _own(self, program: str, claim: Claim) -> tuple[str, ...]:
        if program == POLICIES:
            return own_policies(CtTimeouts(self.netns).listed(), claim)
        listing = self._listing(program)
        return own_nft(listing, claim) if program == "nft" else own_xt(program, listing, claim)

    def altered(self, programs: Sequence[str], claim: Claim) -> tuple[str, ...]:
        """Rules that bear a comment of the plan's and are not what was loaded: somebody else's now."""
        return tuple(text for program in programs for text in altered(program, self._listing(program), claim))

    def _listing(self, program: str) -> str:
        refuse_unknown(program)
        if program == POLICIES:
            return ""
        if program == "nft":
            return self._run(["nft", "-j", "-a", "list", "ruleset"])
        return self._run([program.replace("-restore", "-save")])

    def counted(self, programs: Sequence[str], claim: Claim) -> dict[str, int]:
        """iptables counts for every rule; nft where a rule says so, as our untracking ones do."""
        found: Counter[str] = Counter()
        for program in rule_programs(programs):
            refuse_unknown(program)
            if program == "nft":
                found.update(counted_nft(self._listing(program), claim))
            else:
                found.update(counted_xt(program, self._run([program.replace("-restore", "-save"), "-c"]), claim))
        return dict(found)

    def tables(self, programs: Sequence[str]) -> tuple[str, ...]:
        """The tables that these programs list now, as `PROGRAM NAME`, and their base chains, as `PROGRAM NAME CHAIN`.

        Those of nft are made and taken out by their plan, those of iptables-legacy stay.
        """
        listed = [
            (p, t.name) for p in rule_programs(programs) if p != "nft" for t in xt_tables(p, self._listing(p), Claim())
        ]
        chains = {p: self._base_chains(p) for p in dict.fromkeys(p for p, _ in listed)}
        return tuple(" ".join((p, t, *c)) for p, t in listed for c in ((), *((c,) for c in chains[p].get(t, ()))))

    def _base_chains(self, program: str) -> dict[str, tuple[str, ...]]:
        """The base chains of each table of iptables-nft as nft lists them: by itself it lists some that are not there.

        None where there is no nft, or where the tables are legacy ones, which always have all of theirs.
        """
        if programs_missing("nft") or self._is_legacy(program):
            return {}
        family, found = family_of(program), dict[str, tuple[str, ...]]()
        listing = msgspec.json.decode(self._run(["nft", "-j", "list", "chains", family]))
        for chain in (item["chain"] for item in listing["nftables"] if "hook" in item.get("chain", {})):
            if chain["family"] == family:
                found[chain["table"]] = (*found.get(chain["table"], ()), chain["name"])
        return found

    def sweep(self, programs: Sequence[str], keep: Sequence[str], claim: Claim) -> None:
        """Take out everything that is ours, untracking first, and the tables that came with it."""
        for batch in self._sweeps(programs, claim):
            if batch.program == "nft":
                text = _settled(lambda: "".join(b.text for b in sweep_nft(self._listing("nft"), claim)))
                self._run(["nft", "-f", "-"], text)
            else:
                self._run([batch.program, "--noflush", XT_WAIT], batch.text)
        if POLICIES in programs:  # no rule names them any more
            policies = policies_of("\n".join(self._own(POLICIES, claim)))
            CtTimeouts(self.netns).delete([each.name for each in policies])
        for program in rule_programs(programs):
            self._drop_tables(program, keep)

    def _sweeps(self, programs: Sequence[str], claim: Claim) -> Iterator[Batch]:
        listings = {program: self._listing(program) for program in rule_programs(programs)}
        batches = [
            batch
            for program, listing in listings.items()
            for batch in (sweep_nft(listing, claim) if program == "nft" else sweep_xt(program, listing, claim))
        ]
        yield from sorted(batches, key=lambda batch: not batch.text.startswith("*raw"))

    def _drop_tables(self, program: str, keep: Sequence[str]) -> None:
        """iptables-nft makes tables and base chains by touching them: new ones that do nothing go again."""
        chains = {} if program == "nft" else self._base_chains(program)
        for table in xt_tables(program, self._listing(program), Claim()) if chains else ():
            before = [item for item in keep if f"{item} ".startswith(f"{program} {table.name} ")]
            if len(before) == 1 or not (before or table.empty):
                continue  # no chain of it is known, or it is the operator's as a whole
            name = f"{family_of(program)} {table.name}"
            new = [c for c in chains.get(table.name, ()) if f"{program} {table.name} {c}" not in before]
            # Chain by chain: nft refuses to delete a chain that somebody has put a rule in meanwhile.
            lines = [f"delete chain {name} {chain}" for chain in new if chain in table.idle]
            lines += [] if before else [f"delete table {name}"]
            if lines:
                self._run(["nft", "-f", "-"], "\n".join(lines) + "\n")

    def _is_legacy(self, program: str) -> bool:
        return "nf_tables" not in self._run([program, "--version"])

    def installed(self) -> tuple[str, ...]:
        """The programs that this host has."""
        return tuple(program for program in (*RESTORE, "nft") if not programs_missing(program))


def rule_programs(programs: Sequence[str]) -> tuple[str, ...]:
    """Those that load rules: policies of ctnetlink stand in no table."""
    return tuple(program for program in programs if program != POLICIES)


def refuse_unknown(program: str) -> None:
    """HostError for a program that loads no rules: whatever names it, a plan or a journal, it is not started."""
    if program not in PROGRAMS:
        raise HostError(program, "not started: no rules are loaded with this program")


def _settled(look: Callable[[], str]) -> str:
    """A text with handles that two looks in a row agree on: a table made anew in between gives them to other rules."""
    before = look()
    for _ in range(LOOKS):
        if (now := look()) == before:
            return now
        before = now
    raise HostError("nft list ruleset", "the rules change faster than they can be looked at", advice="try again")


def _recent(program: str, guard: Guard) -> str:
    """The second guard as a match, "" where there is none."""
    return f" {recent(program, TRIAL_LIST, guard.recent)}" if guard.recent else ""


def programs_missing(name: str) -> bool:
    """This host lacks that program."""
    return programs.find(name) is None
