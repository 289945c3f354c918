"""The composition root: which adapter stands behind which port. Imports wait until a verb needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conntrim.app.plan import Live
    from conntrim.app.ports.facts import Facts
    from conntrim.app.ports.flows import Flows
    from conntrim.app.ports.frames import Frames
    from conntrim.app.ports.inputs import Inputs
    from conntrim.app.ports.kernel_log import KernelLog
    from conntrim.app.ports.listing import RulesetListing
    from conntrim.app.ports.owners import OpenSockets
    from conntrim.app.ports.plans import Plans
    from conntrim.app.ports.recorder import Recorder
    from conntrim.app.ports.rulesets import Rulesets
    from conntrim.app.ports.saved import SavedHost
    from conntrim.app.rollout_run import Ports
    from conntrim.core.diagnose.case import Rules
    from conntrim.core.model.census import Viewpoint
    from conntrim.core.model.circumstances import Circumstances
    from conntrim.core.model.intervals import Intervals
    from conntrim.core.model.plan import Batch
    from conntrim.core.model.pseudonym import Pseudonyms
    from conntrim.core.model.record import Listed
    from conntrim.core.netfilter.kernel import Kernel
    from conntrim.core.parse.xt.form import Lines


def flows(source: str | None, netns: str | None) -> Flows:
    """The table to read: a file, `-`, or without a source the kernel's."""
    if source is None:
        from conntrim.host.flows import KernelFlows

        return KernelFlows(netns)
    if (host := saved(source)) is not None:
        return host.flows()
    from conntrim.host.flow_files import FileFlows

    return FileFlows(source)


def frames(netns: str | None, *, recording: bool = False) -> Frames:
    """The kernel's table, to be read again and again; for a record with all columns that any verb asks for."""
    from conntrim.core.census.panel.reading import PANEL_COLUMNS
    from conntrim.core.census.take import CENSUS_COLUMNS
    from conntrim.host.frames import KernelFrames

    more = CENSUS_COLUMNS | {"dst", "reply_dst", "reply_sport", "reply_dport", "mark"} if recording else frozenset()
    return KernelFrames(netns, PANEL_COLUMNS | more)


def saved(source: str | None) -> SavedHost | None:
    """The record or the collection of that name, None where it is something else."""
    if source is None:
        return None
    from conntrim.core.model.record import COLLECTED
    from conntrim.host.flow_files import begins
    from conntrim.store.record import RecordReader, is_record

    if is_record(source):
        from conntrim.store.recorded import RecordedHost

        return RecordedHost(RecordReader(source).read())
    if not begins(source, COLLECTED.encode()):
        return None
    from conntrim.host.collected import collected

    return collected(source)


def recorder(path: str, most: int, *, hidden: bool) -> Recorder:
    """A new record, of at most so many bytes."""
    from conntrim.store.record import RecordWriter

    return RecordWriter(path, most, hidden=hidden)


def rule_texts(netns: str | None) -> Callable[[], Sequence[Listed]]:
    """What the programs print of this kernel's rules."""
    from conntrim.host.listing import texts

    return lambda: texts(netns)


def pseudonyms(key: str | None) -> Pseudonyms:
    """The replacement by the key in a file; without one by a key that nobody will know."""
    import os

    from conntrim.core.model.errors import InputError
    from conntrim.core.model.pseudonym import Pseudonyms
    from conntrim.host.sources import read_whole

    data = os.urandom(32) if key is None else read_whole(key, 1 << 16, "key").strip()
    if not 16 <= len(data) <= 64:
        raise InputError("--key", f"{len(data)} bytes: 16 to 64 are wanted", advice="head -c 32 /dev/urandom > FILE")
    return Pseudonyms(data)


def viewpoint(source: str | None, netns: str | None, local: Sequence[tuple[int, int]]) -> Viewpoint | None:
    """From where to look at it: named addresses, else the kernel's own; None for a file: infer it."""
    from conntrim.core.model.census import Viewpoint
    from conntrim.core.model.intervals import Intervals

    if source is None:
        from conntrim.host.viewpoint import kernel_viewpoint

        kernel = kernel_viewpoint(netns)
        return Viewpoint(Intervals.union_of(local), kernel.local_ports, kernel.timeouts) if local else kernel
    if not local and (host := saved(source)) is not None:
        return host.viewpoint()
    return Viewpoint(Intervals.union_of(local), saved=True) if local else None


def rulesets(files: Sequence[str], netns: str | None) -> Rulesets:
    """The rule set to look at: these files together, or without files the kernel's."""
    return _rulesets(files, netns, None)


def states(*files: Sequence[str]) -> tuple[Rulesets, ...]:
    """Several states of one host's rules, each some files together: what they have in common is read once."""
    from conntrim.core.parse.xt.form import Lines

    lines = Lines()
    return tuple(_rulesets(each, None, lines) for each in files)


def _rulesets(files: Sequence[str], netns: str | None, lines: Lines | None) -> Rulesets:
    from conntrim.host.rulesets import FileRulesets, KernelRulesets, SavedRulesets

    hosts = {name: host for name in files if (host := saved(name)) is not None}
    if hosts:
        return SavedRulesets(tuple(hosts.values()), FileRulesets([name for name in files if name not in hosts], lines))
    return FileRulesets(files, lines) if files else KernelRulesets(netns)


def rules_seen(netns: str | None, files: Sequence[str] = ()) -> Callable[[Intervals], Rules]:
    """What the kernel's rules, or those of files, say about causes, asked with the host's own addresses."""

    def seen(local: Intervals) -> Rules:
        from conntrim.app.rules_seen import rules_of

        return rules_of(rulesets(files, netns), local)

    return seen


def rules_told(files: Sequence[str]) -> Callable[[Intervals], Rules] | None:
    """The same of saved rules; None where there are none."""

    def told(local: Intervals) -> Rules:
        from conntrim.app.rules_seen import rules_of

        return rules_of(rulesets(files, None), local)

    return told if files else None


def inputs(files: Sequence[str]) -> Inputs:
    """What somebody saved of one host, told apart by content."""
    from conntrim.host.inputs import read_inputs

    return read_inputs(files)


def open_sockets() -> OpenSockets:
    """Whose sockets are open on this host."""
    from conntrim.host.owners import KernelSockets

    return KernelSockets()


def interfaces(netns: str | None) -> Callable[[Sequence[str]], dict[str, str]]:
    """Behind which devices addresses are."""
    from conntrim.host.routes import interfaces

    return lambda addresses: interfaces(netns, addresses)


def trial(netns: str | None) -> str:
    """Of a plan that is on trial in a namespace; "" where there is none, or where the journal is not ours to read."""
    from conntrim.core.model.errors import ConntrimError
    from conntrim.core.rollout.states import State
    from conntrim.core.rollout.status import seconds_left
    from conntrim.host.circumstances import namespace
    from conntrim.host.clock import HostClock
    from conntrim.store.journal import JournalFile, state_directory

    try:
        journal = JournalFile(state_directory(None), netns or namespace() or None).read()
    except (ConntrimError, OSError):
        return ""
    left = seconds_left(journal, HostClock().now())
    if journal.state is not State.TRIAL or left <= 0:
        return ""
    return f"a plan is on trial for {left:.0f} s more: what it untracks is not counted here"


def policy_text(path: str) -> bytes:
    """The content of a policy file, `-` for standard input."""
    from conntrim.core.parse.policy import LARGEST_FILE
    from conntrim.host.sources import read_whole

    return read_whole(path, LARGEST_FILE, "policy")


def kernel(netns: str | None) -> Kernel:
    """What of this kernel's settings decides about packets."""
    from conntrim.host.tracking import tracking_kernel

    return tracking_kernel(netns)


def live(netns: str | None) -> Live:
    """What a plan is compiled against: the host itself, in one network namespace."""
    from conntrim.app.plan import Live

    return Live(listing(), facts(), batch_check(netns), frames(netns), netns)


def rollout(netns: str | None, state: str | None, root: str | None = None) -> Ports:
    """Everything that a rollout touches, in one network namespace; its files below `root`, where one is named.

    A namespace that was entered (`ip netns exec`) is the same as one that was named: its journal is its own, and the
    host's files are not its.
    """
    from conntrim.app.rollout_run import Ports
    from conntrim.host.circumstances import namespace
    from conntrim.host.clock import HostClock
    from conntrim.host.entries import KernelEntries
    from conntrim.host.files import HostFiles
    from conntrim.host.freshness import HostFreshness
    from conntrim.host.loader import HostLoader
    from conntrim.host.operator import operator
    from conntrim.host.persistence import HostPersistence
    from conntrim.host.prober import HostProber
    from conntrim.host.purge import KernelPurge
    from conntrim.host.sysctls import HostSysctls
    from conntrim.store.journal import JournalFile, state_directory

    where = netns or namespace() or None
    return Ports(
        loader=HostLoader(netns),
        purge=KernelPurge(netns),
        entries=KernelEntries(netns),
        sysctls=HostSysctls(netns),
        files=HostFiles(),
        clock=HostClock(),
        journal=JournalFile(state_directory(state), where),
        freshness=HostFreshness(netns),
        persistence=HostPersistence(netns),
        prober=HostProber(netns),
        root=root,
        default_root="" if where else "/",
        netns=netns or "",
        state=state or "",
        operator=operator(),
    )


def here(netns: str | None) -> Circumstances:
    """Which host and namespace this is, and what of it decides; nothing where that cannot be told."""
    from conntrim.core.model.circumstances import Circumstances
    from conntrim.core.model.errors import HostError
    from conntrim.host.circumstances import circumstances

    try:
        return circumstances(netns)
    except (HostError, OSError):
        return Circumstances()


def facts() -> Facts:
    """This kernel's facts."""
    from conntrim.host.facts import KernelFacts

    return KernelFacts()


def kernel_log() -> KernelLog:
    """This kernel's log, or a file with one."""
    from conntrim.host.kernel_log import HostKernelLog

    return HostKernelLog()


def kernel_facts() -> str:
    """docs/kernel-facts.md, which the package carries."""
    from importlib.resources import files

    return files("conntrim").joinpath("kernel-facts.md").read_text(encoding="utf-8")


def listing() -> RulesetListing:
    """This kernel's rule sets, of both iptables and of nft."""
    from conntrim.host.listing import KernelListing

    return KernelListing()


def batch_check(netns: str | None) -> Callable[[Batch], str]:
    """Asks this kernel whether it would take a batch of a trial: its complaint, "" where it would."""
    from conntrim.core.rollout.record import Guard
    from conntrim.host.clock import HostClock
    from conntrim.host.trial_load import complaint

    guard = Guard.starting(HostClock().now(), 600)
    return lambda batch: complaint(batch, netns, guard)


def plans() -> Plans:
    """Directories to write plans into."""
    from conntrim.store.plans import PlanDirectories

    return PlanDirectories()
