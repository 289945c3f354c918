"""One rule set on trial: played with and without its untracking, then every claim of the verbs about it is judged."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from signal import SIGSEGV

from conntrim.core.diagnose.rulesets.registry import Checked
from conntrim.core.model.address import Family
from conntrim.core.model.errors import HostError
from conntrim.core.model.finding import Edit, Finding
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.prove.packet_text import conditional
from conntrim.host import programs
from conntrim.lab.expect import ruleset_of
from conntrim.lab.held.editing import blank, commanded, edited, edits_of
from conntrim.lab.held.judge import (
    NO_EFFECT,
    Both,
    Counts,
    Disagreement,
    Fault,
    demanded,
    harmed,
    open_in_r0,
    paired,
    possible,
    residual,
    silent,
    twins,
)  # fmt: skip
from conntrim.lab.held.mutation import Mutation
from conntrim.lab.held.play import DONE, Played, play
from conntrim.lab.held.stand import Stand
from conntrim.lab.held.talks import SERVERS, Dialogue, group
from conntrim.lab.held.untracking import inert, telling
from conntrim.lab.held.verbs import Crash, Told, Verbs, asked, told_nft, told_xt
from conntrim.lab.held.witness import dialogues_of, routes, shorter
from conntrim.lab.script import Script
from conntrim.render.edits import instructions


@dataclass(frozen=True, slots=True)
class Exhibit:
    """What is tried: a rule set, how strict the kernel's TCP is, the dialogues, and a change for `compare`."""

    script: Script
    strict: bool
    dialogues: tuple[Dialogue, ...]
    mutation: Mutation | None = None

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that the rules are about."""
        return families_of(self.script)


def families_of(script: Script) -> tuple[Family, ...]:
    """The families that a script's tables are about."""
    spoken = {sheet.family for sheet in script.sheets}
    both = "inet" in spoken or not spoken
    return tuple(f for f, name in ((Family.IPV4, "ip"), (Family.IPV6, "ip6")) if both or name in spoken)


class NftDiedError(Exception):
    """nft died of rules that are loaded, before it did anything (K169): nothing is learnt about the edit."""


@dataclass(slots=True)
class Bench:
    """Two stands, and the verbs that are asked."""

    r: Stand
    other: Stand
    verbs: Verbs
    counts: Counts = field(default_factory=Counts)

    # --- check --------------------------------------------------------------------------------------------------

    def check(
        self, exhibit: Exhibit, *, edits: bool = True
    ) -> tuple[list[Disagreement], Told, Checked | Crash, list[Both]]:
        """The claims of `check`: what it says, and what it does not say."""
        told, both = self.played(exhibit)
        checked = asked(self.verbs.check, told.ruleset, edits, not exhibit.strict)
        if isinstance(checked, Crash):
            return [Disagreement(Fault.CRASH, f"check: {checked}")], told, checked, both
        return self.judged(exhibit, told, both, checked), told, checked, both

    def played(self, exhibit: Exhibit) -> tuple[Told, list[Both]]:
        """The dialogues under R, on the first stand, and under R0, on the other; both stay loaded."""
        told = self._loaded(self.r, exhibit)
        self.other.load(inert(exhibit.script).batches(), exhibit.strict)
        both = paired(exhibit.dialogues, play(self.r, exhibit.dialogues), play(self.other, exhibit.dialogues))
        self._count(both)
        return told, both

    def alone(self, exhibit: Exhibit) -> tuple[Told, list[Played]]:
        """The dialogues under R only: what `compare` needs."""
        told = self._loaded(self.r, exhibit)
        self.counts.claims["dialogues"] += len(exhibit.dialogues)
        return told, play(self.r, exhibit.dialogues)

    def judged(self, exhibit: Exhibit, told: Told, both: Sequence[Both], checked: Checked) -> list[Disagreement]:
        """What `check` said against what was played."""
        found: list[Disagreement] = []
        if checked.undecided:
            self.counts.undecided[f"check: {reason(checked.undecided[0])}"] += 1
            self.counts.claims["check: not decided, dialogues"] += len(both)
        else:
            found += silent(both, checked, told, self.counts)
        self.counts.claims["check: clean"] += not checked.findings and not checked.undecided
        for finding in checked.findings:
            self.counts.claims[f"finding {finding.code}"] += 1
            found += self._finding(finding, told, exhibit, both)
        return found

    def _loaded(self, stand: Stand, exhibit: Exhibit) -> Told:
        """Load R so that it tells; what the verbs are given of it."""
        stand.load(telling(exhibit.script).batches(), exhibit.strict)
        return self.read(stand, exhibit)

    @staticmethod
    def read(stand: Stand, exhibit: Exhibit) -> Told:
        """What the verbs are given of a rule set that is loaded."""
        return told_nft(stand.listing()) if exhibit.script.program == "nft" else told_xt(exhibit.script)

    def _count(self, both: Sequence[Both]) -> None:
        self.counts.claims["dialogues"] += len(both)
        self.counts.claims["dialogues untracked"] += sum(bool(b.r.hits) for b in both)
        self.counts.claims["dialogues that complete without untracking"] += sum(b.r0.ended == DONE for b in both)

    def _finding(self, finding: Finding, told: Told, exhibit: Exhibit, both: Sequence[Both]) -> Iterator[Disagreement]:
        rules = told.rules_of(finding)
        if finding.code in NO_EFFECT:
            yield from self._no_effect(finding, rules, exhibit, both)
            return
        shows = demanded(finding)
        if shows is None or not rules:
            self.counts.claims["findings not played"] += 1
            return
        alarm = Fault.ALARM if shows is harmed else Fault.UNTRUE
        self.counts.claims[alarm.name.lower()] += 1
        if shows(both, rules):
            return
        played = self._witness(finding, exhibit, lambda each: shows(each, rules))
        short = finding.witness is not None and shorter(finding.witness)
        if played is None or (not played and (short or (alarm is Fault.UNTRUE and conditional(finding.evidence)))):
            self.counts.claims["witnesses not played"] += 1
        elif not played:
            yield Disagreement(alarm, "", (), (finding.code,), words_of(finding))

    def _witness(self, finding: Finding, exhibit: Exhibit, shows: Callable[[list[Both]], bool]) -> bool | None:
        """Whether the dialogues that a finding's witness may belong to show it; None: they cannot be played."""
        talks = dialogues_of(finding.witness, SERVERS) if finding.witness else []
        if not talks:
            return None
        words = routes(talks)
        for stand in (self.r, self.other):
            _routed(stand, "replace", words)
        try:
            lone = [talk for talk in talks if len(talk.turns) == 1]
            every = [lone] * bool(lone) + [[talk] for talk in talks if len(talk.turns) > 1]
            return any(shows(paired(each, play(self.r, each), play(self.other, each))) for each in every)
        finally:
            for stand in (self.r, self.other):
                _routed(stand, "del", words)

    def _no_effect(
        self, finding: Finding, rules: frozenset[int], exhibit: Exhibit, both: Sequence[Both]
    ) -> Iterator[Disagreement]:
        """A rule that does nothing: without it everything is the same. Where it took no packet, that is so."""
        self.counts.claims["effect"] += 1
        hit = sorted(i for i in rules if any(i in b.r.hits for b in both))
        place = str(finding.place)
        index = next((i for i in hit if told_at(place, i, exhibit, self.r) and i in rules), None)
        if finding.code != "CT104" or index is None:
            return
        self.other.unload()
        self.other.load(inert(exhibit.script, index).batches(), exhibit.strict)
        again = play(self.other, exhibit.dialogues)
        self.other.unload()
        self.other.load(inert(exhibit.script).batches(), exhibit.strict)
        for each, now in zip(both, again, strict=True):
            if (each.r.fate, bool(each.r.entries)) != (now.fate, bool(now.entries)):
                yield Disagreement(Fault.EFFECT, each.dialogue.sort, (each.dialogue,), (finding.code,))
                return

    # --- edits --------------------------------------------------------------------------------------------------

    def edits(self, exhibit: Exhibit, checked: Checked, both: Sequence[Both]) -> list[Disagreement]:
        """Each finding's edits done, then all of them; everything is played again."""
        found: list[Disagreement] = []
        usable = [f for f in checked.findings if f.edits and not any(map(blank, f.edits))]
        self.counts.claims["edits with something to fill in"] += sum(any(map(blank, f.edits)) for f in checked.findings)
        for finding in usable[:MOST_EDITED]:
            self.counts.claims["edits of one finding"] += 1
            found += self._mended(exhibit, checked, both, finding.edits, finding)
        if len(usable) > 1 or (usable and len(usable) == len(checked.findings)):
            self.counts.claims["edits of a whole report"] += 1
            whole = len(usable) == len(checked.findings)
            found += self._mended(exhibit, checked, both, edits_of(usable), None, whole=whole)
        return found

    def _mended(
        self, exhibit: Exhibit, checked: Checked, both: Sequence[Both], edits: Sequence[Edit],
        finding: Finding | None, *, whole: bool = False,
    ) -> Iterator[Disagreement]:  # fmt: skip
        codes = (finding.code,) if finding else ("whole report",)
        words = tuple(f"{how}: {'; '.join(texts)}" for how, texts in instructions(edits))
        self.other.unload()
        try:
            ruleset = self._load_edited(exhibit, edits)
        except NftDiedError:
            self.counts.claims["edits of which nft dies (K169)"] += 1
            return
        except (HostError, KeyError, ValueError) as error:
            yield Disagreement(Fault.EDIT_REFUSED, "", (), codes, (*words, str(error)))
            return
        again = play(self.other, exhibit.dialogues)
        yield from (replace(each, words=words) for each in changed(both, again, codes, whole=whole))
        after = asked(self.verbs.check, ruleset, False, not exhibit.strict)
        if isinstance(after, Crash):
            yield Disagreement(Fault.CRASH, f"check: {after}")
            return
        before, now = (Counter(f.code for f in each.findings) for each in (checked, after))
        if finding and now[finding.code] >= before[finding.code] and not after.undecided:
            yield Disagreement(Fault.EDIT_STAYS, "", (), codes, words)
        for code in sorted(code for code in now if now[code] > before[code]):
            yield Disagreement(Fault.EDIT_BRINGS, f"brings {code}", (), codes, words)
        if whole and after.findings:
            yield Disagreement(Fault.EDITS_UNCLEAN, "", (), (), words)

    def _load_edited(self, exhibit: Exhibit, edits: Sequence[Edit]) -> Ruleset:
        stand = self.other
        if exhibit.script.program != "nft":
            batches = edited(exhibit.script.batches(), edits)
            stand.load(batches, exhibit.strict)
            return ruleset_of(batches)
        stand.load(telling(exhibit.script).batches(), exhibit.strict)
        for command in commanded(edits):
            ended = programs.attempt(["nft", command], netns=stand.host.name)  # of its own: it may abort (K49)
            if ended.code == -SIGSEGV:
                raise NftDiedError(command)
            if ended.code:
                raise HostError(f"nft {command}", ended.complaint)
        return told_nft(stand.listing()).ruleset

    # --- compare ------------------------------------------------------------------------------------------------

    def compare(self, exhibit: Exhibit, told: Told, before: Sequence[Played]) -> list[Disagreement]:
        """One rule changed: where a dialogue is treated otherwise, `compare` does not say that all is the same."""
        changed = exhibit.mutation(exhibit.script) if exhibit.mutation else None
        if changed is None or changed == exhibit.script:
            return []
        self.other.unload()
        try:
            after = self._loaded(self.other, Exhibit(changed, exhibit.strict, exhibit.dialogues))
        except HostError:
            self.counts.claims["changes that the kernel refuses"] += 1
            return []
        found = asked(self.verbs.compare, told.ruleset, after.ruleset, not exhibit.strict)
        if isinstance(found, Crash):
            return [Disagreement(Fault.CRASH, f"compare: {found}")]
        self.counts.claims["compare"] += 1
        if found.undecided:
            self.counts.undecided[f"compare: {reason(found.undecided[0])}"] += 1
            self.counts.claims["compare: not decided"] += not (found.differences or found.others)
        self.counts.claims["compare: the same"] += found.same
        now = play(self.other, exhibit.dialogues)
        differing = [d for d, x, y in zip(exhibit.dialogues, before, now, strict=True) if x.fate != y.fate]
        self.counts.claims["compare: played differently"] += bool(differing)
        if not found.same or not differing:
            return []
        first = differing[0]
        change = exhibit.mutation.change if exhibit.mutation else ""
        return [Disagreement(Fault.SAME, f"{change}, {first.sort}", (first,))]


MOST_EDITED = 3
"""So many findings of one rule set have their edits tried one by one."""


def changed(
    both: Sequence[Both], again: Sequence[Played], codes: tuple[str, ...], *, whole: bool
) -> Iterator[Disagreement]:
    """What edits did to dialogues: R0 is what was meant, R is what was there; anything else is new."""
    known, meant = open_in_r0(both), set(map(id, possible(both)))
    for each, now in zip(both, again, strict=True):
        talk, fault, beside = each.dialogue, None, tuple[Dialogue, ...]()
        if whole and id(each) in meant and each.cut and now.ended != DONE:
            fault, beside = Fault.EDITS_LEAVE, twins(both, each)
        elif now.fate in (each.r.fate, each.r0.fate):
            continue
        elif each.r.ended == DONE and now.ended != DONE:
            fault = Fault.EDIT_KILLS if each.r0.ended == DONE and not talk.unsolicited else None
        elif talk.entering and now.opened and not each.r.opened and not each.r0.opened:
            if residual(each):
                continue  # what is untracked both ways lets answers in: the report that follows notes it
            fault = Fault.EDIT_OPENS if group(talk) not in known else None
        elif now.ended == DONE == each.r.ended and not talk.unsolicited:
            fault = Fault.EDIT_CHANGES
        if fault:
            yield Disagreement(fault, "", (talk, *beside), codes)


def words_of(finding: Finding) -> tuple[str, ...]:
    """A finding in short."""
    return (f"{finding.code} {finding.severity.name.lower()}: {finding.place}: {finding.title}", *finding.evidence[:2])


def told_at(place: str, index: int, exhibit: Exhibit, stand: Stand) -> bool:
    """Whether a place is that of an untracking rule."""
    told = told_nft(stand.listing()) if exhibit.script.program == "nft" else told_xt(exhibit.script)
    return index < len(told.places) and told.places[index] == place


def reason(text: str) -> str:
    """The kind of a reason: places, numbers and names out."""
    text = re.sub(r"\S+:\d+|handle \d+|\S*[0-9a-f]*[.:][0-9a-f.:/]+\S*", "…", text)
    return re.sub(r"\d+", "N", text)[:100]


def _routed(stand: Stand, verb: str, words: Sequence[str]) -> None:
    lines = "".join(word.replace(" ", f" {verb} ", 1) + "\n" for word in words)
    if lines:  # some are there, or gone, already
        programs.attempt(["ip", "-force", "-batch", "-"], text=lines, netns=stand.host.name)
