"""What a run may call its own in tables and chains of others: whole rules that its plan holds, told by exact comments.

With a journal these are the rules whose comment stands in the plan's texts for that very chain and that, once they
were recorded, are listed as they were then. Without one the grammar of our comments decides, together with what each
such rule asks for. A rule with a comment of ours and other content is its writer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conntrim.core.model.plan import (
    OWN_HOOKS,
    OWN_NFT_TABLES,
    POLICIES,
    Batch,
    Plan,
    Purpose,
    base_chain,
    is_own_comment,
    mark_of,
    slot_of_chain,
    slot_of_table,
)
from conntrim.core.parse.listed import line_nft, line_xt
from conntrim.core.rollout.batches import puts
from conntrim.core.rollout.record import Journal
from conntrim.core.rollout.states import State

Key = tuple[str, str]
"""Where (`iptables-nft-restore filter INPUT`, `nft inet filter input`), and the comment."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A rule in a listing or a file: where, its comment, where it jumps to; `text` as the journal would record it.

    `narrow`: it asks for packets without an entry, as every rule does that a plan puts into a chain of others.
    """

    place: str
    comment: str
    target: str
    narrow: bool
    text: str = ""

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.place, self.comment

    @property
    def chain(self) -> str:
        """The chain that it stands in, of iptables."""
        return self.place.split(" ", 2)[2]


def seen_xt(program: str, table: str, line: str) -> Seen:
    """A rule of an `iptables-save` text, `-A CHAIN ...`."""
    found = line_xt(line)
    place, text = f"{program} {table} {found.chain}", f"{program} {table} {line}"
    return Seen(place, found.comment, found.target, found.entryless, text)


def seen_nft(chain: str, text: str) -> Seen:
    """A rule of nft's own text; the chain as `table FAMILY NAME chain NAME`."""
    _, family, table, _, name = chain.split()
    found = line_nft(name, text)
    return Seen(f"nft {family} {table} {name}", found.comment, "", found.entryless)


@dataclass(frozen=True, slots=True)
class Claim:
    """`comments` are those of the plan's texts, None where no plan is known; `listed` the texts recorded of each.

    `early` are comments of rules that should not be there yet: who bears one asks for what ours ask, or is not ours.
    `slot` is the set of own names that the plan's chains bear: those of the other are another plan's. None: any.
    `guards`: the sets in tables of others that arm a trial; a plan that is confirmed has none left.
    """

    comments: frozenset[Key] | None = None
    listed: Mapping[Key, frozenset[str]] = field(default_factory=dict)
    early: frozenset[Key] = frozenset()
    slot: int | None = None
    guards: bool = True

    def owns_chain(self, name: str) -> bool:
        """Is it an own chain of iptables?"""
        return self._owns(slot_of_chain(name))

    def owns_table(self, family: str, name: str) -> bool:
        """Is it an own table of nft?"""
        return self._owns(slot_of_table(family, name))

    def _owns(self, slot: int) -> bool:
        return slot > 0 and self.slot in (None, slot)

    def holds(self, rule: Seen) -> bool:
        """Is this rule, in a chain of others, ours?"""
        if self.comments is None:
            return rule.narrow and is_own_comment(rule.comment)
        return rule.key in self.comments and (rule.narrow or rule.key not in self.early) and not self.altered(rule)

    def altered(self, rule: Seen) -> bool:
        """It bears a comment of the plan's there, but is not what was recorded with it: somebody else's now."""
        recorded = self.listed.get(rule.key)
        return bool(recorded and rule.text) and rule.text not in (recorded or ())

    def disowns(self, jump: Seen) -> bool:
        """A jump to own chains that another plan has written: its chains are not this one's to take out."""
        return self.comments is not None and jump.key not in self.comments and is_own_comment(jump.comment)


def claim_of(journal: Journal) -> Claim:
    """What the journal holds; where nothing of its plan can be loaded yet, what the grammar tells."""
    if journal.plan is None or journal.state in (State.NOTHING, State.CHECKING):
        return Claim()
    trial, kept = comments_of(journal.plan.trial), comments_of(journal.plan.confirm)
    comments = trial | kept
    listed: dict[Key, frozenset[str]] = {}
    for text in journal.own:
        if (key := _key_of(text)) in comments:
            listed[key] = listed.get(key, frozenset()) | {text}
    early = kept - trial if journal.swap is None else frozenset[Key]()
    return Claim(comments, listed, early, slot_of(journal.plan), journal.state is not State.CONFIRMED)


def marks_of(plan: Plan) -> tuple[str, ...]:
    """The marks that the comments of a plan's rules bear."""
    return tuple(sorted({mark for put in puts(plan.trial) if (mark := mark_of(put.comment))}))


def slot_of(plan: Plan) -> int | None:
    """The set of own names that a plan's chains bear; None where it has none."""
    return next((put.slot for put in puts(plan.trial) if put.own), None)


def comments_of(batches: tuple[Batch, ...]) -> frozenset[Key]:
    """The comments of all rules that the batches put into chains, by place."""
    return frozenset((put.place, put.comment) for put in puts(batches) if put.comment)


def _key_of(text: str) -> Key:
    """Of one of our rules as a listing's reader tells it; no key of any rule where it is no rule in a chain."""
    if text.startswith(f"{POLICIES} "):
        return "", ""
    if text.startswith("nft "):
        place, quoted, comment = text.rpartition(" #")[0].removesuffix('"').partition(' "')
        kind, _, chain = place.removeprefix("nft ").partition(" ")
        return (f"nft {chain}", comment) if (kind, quoted) == ("rule", ' "') else ("", "")
    program, _, rest = text.partition(" ")
    table, _, line = rest.partition(" ")
    return seen_xt(program, table, line).key if line.startswith("-A ") else ("", "")


OWN_NFT_JUMPS = {
    f"nft {family} {name} {base_chain(purpose, hook)}": (family, name)
    for family, name in OWN_NFT_TABLES for purpose in Purpose for hook in OWN_HOOKS[purpose]
}  # fmt: skip
"""Where the jumps of the own nft tables stand, and in which of these."""
