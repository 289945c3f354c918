"""One host's course: planned, loaded on trial, expired or confirmed, rolled back; dialogues run all the while."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory

from conntrim.app.plan import Live, make_plan
from conntrim.app.ports.listing import Listing
from conntrim.app.rollout import apply, confirm, rollback
from conntrim.app.rollout_run import Ports
from conntrim.core.model.errors import ConntrimError
from conntrim.core.model.plan import ARMED, TRIAL_LIST, Batch, Obligation, Plan
from conntrim.core.model.ruleset import Dialect
from conntrim.core.parse.policy import parse_policy
from conntrim.core.rollout.record import Guard
from conntrim.core.rollout.report import Report
from conntrim.core.rollout.states import State
from conntrim.host import programs
from conntrim.host.listing import KernelListing
from conntrim.host.loader import HostLoader
from conntrim.host.netns import entered
from conntrim.lab.held.stand import Stand
from conntrim.lab.held.talks import Dialogue
from conntrim.lab.held.verbs import Crash, asked
from conntrim.lab.oracle import TABLE
from conntrim.lab.plans.company import Company, amid, to_the_end, whole
from conntrim.lab.plans.hosts import PlannedHost
from conntrim.lab.plans.judge import (
    ACTING,
    Listed,
    Phase,
    PlanDisagreement,
    PlanFault,
    judged,
    judged_across,
    paired,
)  # fmt: skip
from conntrim.lab.plans.talks import Talks

TRIAL = 600.0
"""Seconds of a trial: no run takes so long; it expires when its guards are emptied."""
MORE, A_FEW = 2, 4
"""A rule logs more than before where it counts more than so many times as much, and so many packets."""
EACH_STEP = 6
"""Dialogues played from beginning to end after each step of a verb, and so many strangers' packets."""


@dataclass(frozen=True, slots=True)
class World:
    """What makes plans and rolls them out in a namespace: the program's own, or a test's liar."""

    live: Callable[[str | None], Live]
    rollout: Callable[[str, str], Ports]
    proved: Callable[[Plan], Plan] = lambda plan: plan


class OthersRules:
    """`RulesetListing` without the stand's observer."""

    def read(self, netns: str | None = None) -> Listing:
        """The rules of the host on trial."""
        found = KernelListing().read(netns)
        rules = replace(found.ruleset, tables=tuple(t for t in found.ruleset.tables if t.name != TABLE))
        return replace(found, ruleset=rules)


class SameHost:
    """`Freshness` of a host that nobody else changes."""

    def obligations(self, plan: Plan) -> tuple[Obligation, ...]:
        """Nothing moved, so nothing is asked."""
        return ()

    def elsewhere(self, plan: Plan) -> str:
        """It is the host."""
        return ""

    def differences(self, plan: Plan) -> tuple[str, ...]:
        """None."""
        return ()

    def around(self, plan: Plan) -> tuple[str, ...]:
        """None."""
        return ()


class SteppedLoader(HostLoader):
    """The kernel's loader; after each step that changes rules somebody looks."""

    def __init__(self, netns: str, look: Callable[[], None]) -> None:
        super().__init__(netns)
        self.look = look

    def load(self, batch: Batch, guard: Guard) -> None:
        """One transaction."""
        super().load(batch, guard)
        self.look()

    def fill(self, name: str) -> None:
        """One list, which switches rules."""
        super().fill(name)
        self.look()


@dataclass(slots=True)
class Bench:
    """The stand of the host with the plan, and its twin's."""

    host: Stand
    twin: Stand

    def load(self, host: PlannedHost) -> None:
        """The rules, on both; HostError where the kernel refuses them."""
        for stand in (self.host, self.twin):
            if host.inner:
                stand.host.run("ip", "address", "add", host.inner, "dev", "eth1")
            for family in ("-4", "-6") if host.uplink else ():
                stand.host.run("ip", family, "-batch", "-", text=UPLINK.format(mark=host.uplink))
            stand.load(host.batches, host.strict)

    def unload(self, host: PlannedHost) -> None:
        """Nothing is left of them."""
        for stand in (self.host, self.twin):
            stand.unload()
            if host.back_end is Dialect.IPTABLES_LEGACY:
                for program in ("iptables-legacy-restore", "ip6tables-legacy-restore"):
                    stand.host.run(program, text=BLANK)
            if host.inner:
                programs.attempt(["ip", "address", "del", host.inner, "dev", "eth1"], netns=stand.host.name)
            for family in ("-4", "-6") if host.uplink else ():
                stand.host.run("ip", family, "-batch", "-", text=NO_UPLINK)


UPLINK = "route add default dev eth1 table 102\nrule add fwmark {mark} lookup 102\n"
NO_UPLINK = "rule del lookup 102\nroute flush table 102\n"
"""Policy routing by a mark."""
BLANK = "".join(
    f"*{table}\n{''.join(f':{chain} ACCEPT [0:0]{chr(10)}' for chain in chains)}COMMIT\n"
    for table, chains in (
        ("raw", ("PREROUTING", "OUTPUT")), ("mangle", ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")),
        ("nat", ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")), ("filter", ("INPUT", "FORWARD", "OUTPUT")),
    )
)  # fmt: skip
"""iptables-legacy's tables without rules: what makes them stays (K37)."""


@contextmanager
def programs_listening(bench: Bench, host: PlannedHost) -> Iterator[None]:
    """Programs that listen at the inbound services' ports on all addresses, on the host and on its twin."""
    with ExitStack() as stack:
        for stand in (bench.host, bench.twin):
            with entered(stand.host.name):
                for wish in host.wishes if host.listening else ():
                    if wish.direction == "inbound" and wish.protocol == "tcp":
                        made = socket.create_server(("::", wish.port), family=socket.AF_INET6, dualstack_ipv6=True)
                        stack.enter_context(made)
        yield


@dataclass(slots=True)
class Course:
    """A host and the plan that is made for it."""

    bench: Bench
    world: World
    host: PlannedHost
    talks: Talks
    found: list[PlanDisagreement] = field(default_factory=list)
    untracked: int = 0
    phase: Phase = Phase.BEFORE

    def planned(self) -> Plan | Crash:
        """The plan, or how the verb failed; the rules are loaded."""
        live = replace(self.world.live(self.bench.host.host.name), listing=OthersRules())
        policy = parse_policy(self.host.policy, "policy")
        plan = asked(lambda: make_plan(live.inputs(policy)).plan)
        return plan if isinstance(plan, Crash) else self.world.proved(plan)

    def run(self, plan: Plan) -> list[PlanDisagreement]:
        """The whole course of a plan that is proved."""
        listed = Listed(self.host, plan)
        with TemporaryDirectory(prefix="conntrim-plans-") as state:
            ports = replace(
                self.world.rollout(self.bench.host.host.name, state),
                loader=SteppedLoader(self.bench.host.host.name, lambda: self._step(listed)),
                freshness=SameHost(),
            )
            with suppress(_EndedError):
                self._run(ports, plan, listed)
        return self.found

    def _run(self, ports: Ports, plan: Plan, listed: Listed) -> None:
        self._whole(Phase.BEFORE, listed)
        across = self._pair(self.talks.across)
        _go(across, amid(0.2))
        self._verb(Phase.ARMING, State.TRIAL, lambda: apply(ports, plan, TRIAL))
        self._whole(Phase.TRIAL, listed)
        _go(across, amid(0.45))
        self._across(across, Phase.TRIAL, listed)
        if self.host.keeps:
            self._verb(Phase.KEEPING, State.CONFIRMED, lambda: confirm(ports))
            self._whole(Phase.KEPT, listed)
            _go(across, amid(0.7))
            self._across(across, Phase.KEPT, listed)
        late = self._pair(self.talks.late)
        _go(late, amid(0.4))
        self._across(late, Phase.KEPT if self.host.keeps else Phase.TRIAL, listed, untracked=True)
        back = Phase.UNDONE
        if self.host.keeps:
            self._verb(Phase.UNDOING, State.NOTHING, lambda: rollback(ports))
        else:
            self._expire(ports)
            back = Phase.EXPIRED
        for company, untracked in ((across, self.host.keeps), (late, True)):
            _go(company, to_the_end)
            self._across(company, back, listed, untracked=untracked)
        for pair in (across, late):
            for each in pair:
                each.leave()
        self._whole(back, listed)
        if not self.host.keeps:
            self._verb(Phase.UNDOING, State.NOTHING, lambda: rollback(ports))
            self._whole(Phase.UNDONE, listed)

    def _whole(self, phase: Phase, listed: Listed) -> None:
        self.phase = phase
        stands, logs = (self.bench.host, self.bench.twin), self.host.logs
        before = [logged(stand, self.host) for stand in stands] if logs else []
        self._played(self.talks.whole, phase, listed)
        if not logs:
            return
        mine, twins = (logged(stand, self.host) - old for stand, old in zip(stands, before, strict=True))
        for rule in [rule for rule, count in mine.items() if count > MORE * twins[rule] + A_FEW]:
            words = (rule, f"{mine[rule]} packets; without the plan {twins[rule]}")
            self.found.append(PlanDisagreement(PlanFault.LOGS, phase, "", (), words))

    def _played(self, talks: tuple[Dialogue, ...], phase: Phase, listed: Listed) -> None:
        both = [whole(stand, talks) for stand in (self.bench.host, self.bench.twin)]
        self.untracked += sum(bool(played.untracked) for played in both[0]) if phase in ACTING else 0
        self.found += judged(paired(talks, *both), phase, listed)

    def _pair(self, talks: tuple[Dialogue, ...]) -> tuple[Company, Company]:
        return Company.of(self.bench.host, talks), Company.of(self.bench.twin, talks)

    def _across(self, both: tuple[Company, Company], phase: Phase, listed: Listed, *, untracked: bool = False) -> None:
        talks = [actor.dialogue for actor in both[0].actors]
        pairs = paired(talks, *(company.played() for company in both))
        self.found += judged_across(pairs, phase, listed, untracked=untracked)
        gone = {p.dialogue for p in pairs if p.host.ended != p.twin.ended}
        for company in both:  # told once
            company.actors[:] = [actor for actor in company.actors if actor.dialogue not in gone]

    def _step(self, listed: Listed) -> None:
        """Amid a verb: the service and strangers, quickly."""
        talks = [t for t in self.talks.whole if not t.unsolicited and t.b.port in {w.port for w in self.host.wishes}]
        unsolicited_ones = [t for t in self.talks.whole if t.unsolicited]
        some = talks[: EACH_STEP if self.phase in ACTING else 0] + unsolicited_ones[:EACH_STEP]
        self._played(tuple(some), self.phase, listed)

    def _verb(self, phase: Phase, wanted: State, verb: Callable[[], Report]) -> None:
        self.phase = phase
        report = asked(verb)
        if isinstance(report, Crash):
            self.found.append(PlanDisagreement(PlanFault.CRASH, phase, str(report)))
            raise _EndedError
        if report.state is not wanted:
            words = (report.why, *report.remarks)
            self.found.append(PlanDisagreement(PlanFault.REFUSED, phase, f"{report.state}", (), words))
            raise _EndedError

    def _expire(self, ports: Ports) -> None:
        """The guards run out: their sets and lists are empty from one moment to the next."""
        stand = self.bench.host
        for each in stand.listing():
            if "set" in each and each["set"].get("name") == ARMED:
                stand.nft.run(f"flush set {each['set']['family']} {each['set']['table']} {ARMED}")
        if any(batch.program != "nft" for batch in ports.journal.read().plan.trial):  # type: ignore[union-attr]
            HostLoader(stand.host.name).empty(TRIAL_LIST)


def logged(stand: Stand, host: PlannedHost) -> Counter[str]:
    """How many packets each of iptables' LOG rules has counted."""
    found: Counter[str] = Counter()
    for program in {batch.program for batch in host.batches if batch.program.endswith("-restore")}:
        for line in stand.host.run(program.replace("-restore", "-save"), "-c").splitlines():
            one = re.match(r"\[(\d+):\d+\] (.* -j LOG\b.*)", line)
            if one and " --limit " not in line:
                found[f"{program}: {one[2]}"] += int(one[1])
    return found


class _EndedError(ConntrimError):
    """The course goes no further."""


def _go(both: tuple[Company, Company], until: Callable[[Dialogue], int]) -> None:
    for company in both:
        company.go_on(until)
