"""A plan: a policy compiled for one host."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from conntrim.core.model.circumstances import Circumstances
from conntrim.core.model.facts import Era
from conntrim.core.model.policy import Policy, Untrack
from conntrim.core.model.ruleset import Dialect
from conntrim.core.model.service import Hook

DEADLINE = "@DEADLINE@"
"""In guarded iptables text: the UTC second after which the rule is inert, `2026-11-22T20:38:20` (K39)."""
SECONDS = "@SECONDS@"
"""In guarded nft text: the whole seconds until the guard's set element times out (K39)."""
HANDLE = "@HANDLE"
"""In nft text: `@HANDLE family table chain "comment"@` stands for the handle of the rule with that comment."""
CHAIN_PREFIX = "CONNTRIM-"
"""Own iptables chains start so."""
OWN_TABLE = "conntrim"
"""The name of the own nft table: of family inet, or of the one family that the host tracks (K162)."""
OWN_FAMILIES = ("inet", "ip", "ip6")
SLOTS = (1, 2)
"""Two sets of own names: a plan that replaces another stands beside it for a while."""
OWN_TABLES: dict[int, str] = {1: OWN_TABLE, 2: f"{OWN_TABLE}_2"}
OWN_NFT_TABLES = tuple((family, name) for family in OWN_FAMILIES for name in OWN_TABLES.values())
ARMED = "conntrim_armed"
"""The nft set whose elements time out and so disarm a trial's rules."""
TRIAL_LIST, KEPT_LIST = "conntrim", "conntrim-kept"
"""Lists of `-m recent` (K70): a trial's rules want a recent entry in the first, pending ones any in the second."""
TRIAL_SUFFIX = " (trial)"
"""Ends the comments of guarded rules."""
RESTORE = (
    "iptables-nft-restore", "ip6tables-nft-restore", "iptables-legacy-restore", "ip6tables-legacy-restore",
)  # fmt: skip
"""Both back ends, each by its own name: `iptables-restore` alone may be either (K37)."""
POLICIES = "nfct"
"""Time-out policies of ctnetlink: what makes them, and the name of what holds them. A batch is nfct's command lines,
and we do what they say ourselves: few hosts have the program."""
POLICY_NAME = re.compile("[cd][46][0-9a-z]{2}")
"""How policies of ours are called. Listings of iptables rules show four characters of a name and no more (K150)."""
PROGRAMS = frozenset({"nft", "iptables-restore", "ip6tables-restore", *RESTORE, POLICIES})
"""Whatever loads a plan's texts; nothing else is ever started for a plan or a journal."""


def own_chain(slot: int, hook: str) -> str:
    """`CONNTRIM-OUTPUT`, `CONNTRIM-2-OUTPUT`: the own iptables chain of a hook."""
    return f"{CHAIN_PREFIX}{'' if slot == SLOTS[0] else f'{slot}-'}{hook.upper()}"


def slot_of_chain(name: str) -> int:
    """Which set of names an iptables chain's is of; 0 where it is none of ours."""
    if not name.startswith(CHAIN_PREFIX):
        return 0
    return 2 if name.startswith(f"{CHAIN_PREFIX}2-") else 1


def slot_of_table(family: str, name: str) -> int:
    """The same of an nft table."""
    return next((slot for slot, own in OWN_TABLES.items() if family in OWN_FAMILIES and name == own), 0)


class Purpose(StrEnum):
    """What own chains are for; the value is a part of their names and the comment of the jumps to them."""

    UNTRACK = "untrack"
    LIMIT = "limit"
    TIMEOUT = "timeout"


OWN_HOOKS: dict[Purpose, tuple[Hook, ...]] = {
    Purpose.UNTRACK: (Hook.PREROUTING, Hook.OUTPUT),
    Purpose.LIMIT: (Hook.INPUT, Hook.FORWARD),
    Purpose.TIMEOUT: (Hook.INPUT, Hook.FORWARD, Hook.OUTPUT),
}
"""Where packets are sent to the own chains of a purpose."""


def base_chain(purpose: Purpose, hook: Hook) -> str:
    """The own base chain of nft that jumps to the rules of a purpose."""
    return str(hook) if purpose is Purpose.UNTRACK else f"{hook}_{purpose}"


def purpose_of(chain: str) -> Purpose:
    """What an own chain is for, by its name in either dialect; what untracks names the hook alone in iptables."""
    return next((purpose for purpose in Purpose if purpose in chain.lower()), Purpose.UNTRACK)


_LABEL = r"[a-z][a-z0-9/,.-]*(?: [a-z0-9/,.-]+)*"
_SCHEMA_1 = (
    r"untrack [0-9a-f]{8}|icmp errors (?:in|out|lo)(?: \d+)?"
    r"|(?:inbound|outbound) [a-z0-9-]+/[0-9,-]+ (?:request|reply|reset)(?: lo)?(?: translated)?(?: \d+)?"
)
"""What the first releases wrote behind `conntrim: `, the words that people were told to write as well."""
_OWN = re.compile(rf"conntrim:(?:[0-9a-f]{{8}} (?!ignore\b){_LABEL}| (?:{_SCHEMA_1}))(?: \(trial\))?")


def comment_of(mark: str, label: str) -> str:
    """`conntrim:1a2b3c4d inbound tcp/80 request`: what a plan's rule is known by; `mark` is the plan's, eight digits.

    Nobody writes that by hand, and `is_own_comment` knows it again.
    """
    comment = f"conntrim:{mark} {label}"
    if not is_own_comment(comment):
        raise ValueError(f"no comment of a plan's: {comment!r}")
    return comment


def mark_of(comment: str) -> str:
    """`1a2b3c4d`: which plan wrote a comment; "" where none of this release did."""
    return comment[9:17] if is_own_comment(comment) and comment[9:10] != " " else ""


def is_own_comment(comment: str) -> bool:
    """Did a plan write this comment? Of the whole text; who copied one to another rule is not told by it."""
    return _OWN.fullmatch(comment) is not None


class ObligationStatus(StrEnum):
    """The status of an obligation."""

    PROVED = "proved"
    BROKEN = "broken"
    NOT_DECIDED = "not decided"


@dataclass(frozen=True, slots=True)
class Obligation:
    """A property that must hold before a plan may load, by its name in the manual; a witness where it is broken."""

    name: str
    standing: ObligationStatus
    why: str
    witness: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Text fed to one program in one transaction: `program` is iptables-restore, ip6tables-restore, nft or a twin.

    The restore programs are to be called with `--noflush`, nft with `-f -`.
    """

    program: str
    text: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that the plan writes, whole."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class AddedRule:
    """One rule that the plan adds, for a reader: its chain, the text without guard, what it stands before, why."""

    chain: str
    rule: str
    why: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class TimeoutHarm:
    """What a service's new time-out would cut, in `words`, by readings of `watched` seconds.

    `cut` is how many of the `entries` followed got a packet after a silence of more than `seconds`; `most_per_hour` the
    95 % upper bound for the whole table. None: not observed, and so not known.
    """

    what: str
    words: str
    seconds: int | None = None
    watched: float | None = None
    entries: int | None = None
    cut: int | None = None
    most_per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything needed to try, keep and undo a change, and to judge it.

    `trial` are the guarded additions, `confirm` swaps them for unguarded rules, `rollback_trial` and
    `rollback_confirmed` take them out again; each is a sequence of batches, to be loaded in order. Texts hold the
    placeholders above; `confirm` and `rollback_trial` hold the trial's own deadline. All four empty: the rule set
    needs no change. `ruleset_digest` is that of the rule set that the plan was made for, `ruleset_parts`
    those of its chains and sets by their names, `circumstances` where else it was made for. `settings` are sysctl keys
    (`net.netfilter.nf_conntrack_max`) to values, `settings_before` their values when it was made, `files` what
    `confirm` persists. `managers` are the programs that make the host's rules.
    `closed` are services whose requests the rules do not let through, now or then. `costs` says which connections do
    not survive a fall back to the rules before, by kind and condition.
    `replaces` are the marks in the comments of the plan that stood there when this one was made and that it takes the
    place of; `reinstate` puts that one's rules back beside this one's, for the rollback of a replacement.
    `untracked` are the policy's services as the raw rules have them: in the families, and for the clients, whose
    packets do go untracked.
    `left_out` is what a proposal left tracked, and why; like the `entries_`, `harm` and `over_now`, the clients that
    are over a limit now, it is for reading only. `refused` are the new connections that the rules may refuse.
    """

    name: str
    dialect: Dialect
    era: Era
    policy: Policy
    trial: tuple[Batch, ...]
    confirm: tuple[Batch, ...]
    rollback_trial: tuple[Batch, ...]
    rollback_confirmed: tuple[Batch, ...]
    files: tuple[FileChange, ...]
    obligations: tuple[Obligation, ...]
    settings: dict[str, int] = field(default_factory=dict)
    ruleset_digest: str = ""
    entries_before: int | None = None
    entries_after: int | None = None
    residual: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    changes: tuple[AddedRule, ...] = ()
    closed: tuple[str, ...] = ()
    ruleset_parts: dict[str, str] = field(default_factory=dict)
    managers: tuple[str, ...] = ()
    costs: tuple[str, ...] = ()
    circumstances: Circumstances = field(default_factory=Circumstances)
    left_out: tuple[str, ...] = ()
    settings_before: dict[str, int] = field(default_factory=dict)
    untracked: tuple[Untrack, ...] | None = None
    refused: tuple[str, ...] = ()
    over_now: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    reinstate: tuple[Batch, ...] = ()
    harm: tuple[TimeoutHarm, ...] = ()

    def services(self) -> tuple[Untrack, ...]:
        """Whose entries a trial or a confirm is about; plans of the release before (None) name only the policy's."""
        return self.policy.untrack if self.untracked is None else self.untracked

    @property
    def only_settings(self) -> bool:
        """Nothing of it can be tried: settings do not expire."""
        return bool(self.settings) and not self.policy.cures

    def status(self) -> ObligationStatus:
        """The plan's own status: its worst obligation's."""
        found = {o.standing for o in self.obligations}
        return next(
            (s for s in (ObligationStatus.BROKEN, ObligationStatus.NOT_DECIDED) if s in found), ObligationStatus.PROVED
        )
