"""The verbs on trial, as a person calls them: what they say of rule sets, or how they fail."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from conntrim.app.check import Host, check
from conntrim.app.compare import compare
from conntrim.core.diagnose.rulesets.registry import Checked
from conntrim.core.model.asks import WayBack
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Finding
from conntrim.core.model.ruleset import In, OpaqueMatch, Ruleset
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.compare import Comparison
from conntrim.lab.expect import LOCAL, ruleset_of
from conntrim.lab.held.stand import DIGITS, HIT
from conntrim.lab.held.untracking import untracks
from conntrim.lab.script import Script

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Given:
    """A rule set that is there already, where a verb wants a source."""

    ruleset: Ruleset

    def read(self) -> Ruleset:
        """It."""
        return self.ruleset


@dataclass(frozen=True, slots=True)
class Crash:
    """A verb that ended with an error of ours: its name, and the innermost place in our code."""

    error: str
    where: str

    def __str__(self) -> str:
        return f"{self.error} in {self.where}"


@dataclass(frozen=True, slots=True)
class Verbs:
    """What is asked; tests put liars here. `check` is told whether edits are asked for (they take time), and
    both nf_conntrack_tcp_loose."""

    check: Callable[[Ruleset, bool, bool], Checked]
    compare: Callable[[Ruleset, Ruleset, bool], Comparison]


PRESENT = Verbs(
    lambda ruleset, edits, loose: check(Given(ruleset), Host(LOCAL, loose=loose), edits=edits),
    lambda before, after, loose: compare(Given(before), Given(after), LOCAL, loose),
)
"""The program's own verbs."""


def asked(verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Crash:
    """A verb's answer, or how it failed."""
    try:
        return verb(*args, **kwargs)
    except Exception as error:  # whatever it is, it is what the verb does to its user
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return Crash(type(error).__name__, f"{frame.filename.rpartition('conntrim/')[2]} {frame.name}")


READING = re.compile(r"connmark .*--mark|restore-mark|ct mark (?!set)|helper")
"""What a rule says that wants an entry's mark or helper."""


@dataclass(frozen=True, slots=True)
class Told:
    """A rule set as the verbs are given it, and the place of each untracking rule in their words."""

    ruleset: Ruleset
    places: tuple[str, ...]

    @property
    def pinned(self) -> frozenset[int]:
        """The untracking rules that name their peers."""
        naming = {
            str(r.place) for r in self.ruleset.rules() if any(type(m) is In and m.field is Field.SRC for m in r.matches)
        }
        return frozenset(i for i, place in enumerate(self.places) if place in naming)

    @property
    def asks_ways(self) -> bool:
        """Whether a rule asks by which interface a packet's source is reached."""
        opaque = (m for rule in self.ruleset.rules() for m in rule.matches if isinstance(m, OpaqueMatch))
        return any(isinstance(match.asks, WayBack) for match in opaque)

    @property
    def reads_marks(self) -> bool:
        """Whether a rule asks for an entry's mark, or gives an entry a helper."""
        return any(READING.search(rule.text) for rule in self.ruleset.rules())  # rule text: marks are asked many ways

    def rules_of(self, finding: Finding) -> frozenset[int]:
        """The untracking rules that a finding is about: at its place or an edit's, or named in its evidence."""
        named = [str(finding.place or ""), *(str(edit.place) for edit in finding.edits)]
        return self.named_in("\n".join((*finding.evidence, *finding.advice, finding.title, finding.caused_by, *named)))

    def named_in(self, text: str) -> frozenset[int]:
        """The untracking rules whose place stands in a text."""
        return frozenset(i for i, place in enumerate(self.places) if re.search(rf"{re.escape(place)}(?!\d)", text))


def told_xt(script: Script) -> Told:
    """iptables' texts; places are lines."""
    batches = script.batches()
    by_family: dict[str, list[int]] = {}
    for batch in batches:
        numbered = enumerate(batch.text.splitlines(), 1)
        by_family[batch.program] = [n for n, line in numbered if line.endswith((" CT --notrack", " NOTRACK"))]
    programs = {"ip": "iptables-restore", "ip6": "ip6tables-restore"}
    places = []
    for sheet in script.sheets:
        for _ in (line for block in sheet.blocks for line in block.lines if untracks(line)):
            program = programs[sheet.family]
            places.append(f"{program}:{by_family[program].pop(0)}")
    return Told(ruleset_of(batches), tuple(places))


Objects = list[dict[str, dict[str, object]]]


def told_nft(listing: Objects) -> Told:
    """The kernel's listing of a telling script, without what only tells; places are handles."""
    places: dict[int, str] = {}
    for each in listing:
        rule = each.get("rule")
        if rule is None:
            continue
        expressions = rule["expr"]
        assert isinstance(expressions, list), "nft lists a rule's expressions"
        kept, index = _without_telling(expressions)
        rule["expr"] = kept
        if index is not None:
            places[index] = f"nft {rule['family']} {rule['table']} {rule['chain']} handle {rule['handle']}"
    text = json.dumps({"nftables": listing})
    return Told(read(text, "nft"), tuple(places.get(i, "?") for i in range(max(places, default=-1) + 1)))


def _without_telling(expressions: Iterable[object]) -> tuple[list[object], int | None]:
    kept, index = [], None
    for each in expressions:
        log = each.get("log") if isinstance(each, dict) else None
        prefix = log.get("prefix", "") if isinstance(log, dict) else ""
        if len(prefix) == 3 and ord(prefix[0]) == HIT:
            index = DIGITS.index(prefix[1]) * 62 + DIGITS.index(prefix[2])
        else:
            kept.append(each)
    return kept, index
