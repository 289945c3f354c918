"""The oracle of check, its edits and compare: planted lies are found, the generators make every kind, and what today's
verbs get wrong is known and does not grow."""

import json
import os
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from conntrim.core.diagnose.rulesets.registry import PAGES, Checked, found_in
from conntrim.core.model.change import FlushChain, TableKey
from conntrim.core.model.errors import HostError
from conntrim.core.model.finding import Edit, Finding, How, Place, Severity
from conntrim.core.model.ruleset import Dialect, TableFamily
from conntrim.core.prove.compare import Comparison
from conntrim.lab.held.court import Wanted, bench, exhibit, run
from conntrim.lab.held.judge import Both, Disagreement, Fault
from conntrim.lab.held.talks import KINDS, LONE, PATHS
from conntrim.lab.held.trial import Bench, Exhibit
from conntrim.lab.held.verbs import PRESENT, Told, Verbs
from tests.lab.honest import LIES, truth

KNOWN = Path(__file__).parent / "kept" / "claims.json"
"""The kinds of disagreement that are known, with how often a short run shows them; GOLDEN=accept writes it."""
WITHIN = 300
"""A lie must be found within so many rule sets."""
HEARD = 40
SEED = 5


@pytest.fixture(scope="module")
def made() -> Iterator[Bench]:
    """One bench for all tests."""
    with bench("held") as both:
        yield both


@dataclass(frozen=True, slots=True)
class Heard:
    """One rule set and what the kernel did with its dialogues."""

    exhibit: Exhibit
    told: Told
    both: list[Both]


def listened(made: Bench, numbers: range) -> Generator[Heard, None, None]:
    """The rule sets of these numbers; they are loaded while the caller has them."""
    for index in numbers:
        shown = exhibit(SEED, index)
        try:
            told, both = made.played(shown)
        except HostError:
            continue
        else:
            yield Heard(shown, told, both)
        finally:
            made.r.unload()
            made.other.unload()


def test_planted_lies_are_found(made: Bench) -> None:
    """A check that says what the kernel showed has no disagreement; each lie of it is found within 300 rule sets."""
    left, wrong = dict(LIES), []
    for number, heard in enumerate(listened(made, range(WITHIN))):
        if number >= HEARD and not left:
            break
        wrong += made.judged(heard.exhibit, heard.told, heard.both, truth(heard.told, heard.both))
        for name, lie in list(left.items()):
            if made.judged(heard.exhibit, heard.told, heard.both, lie(heard.told, heard.both)):
                del left[name]
    assert [] == wrong
    assert {} == left


def test_who_says_that_all_is_the_same_is_caught() -> None:
    """A compare that never sees a difference is found among 40 rule sets with one rule changed."""
    liar = Verbs(PRESENT.check, lambda before, after, loose: Comparison(()))
    with bench("liar", liar) as made, closing(listened(made, range(HEARD))) as every:
        assert any(each.fault is Fault.SAME for heard in every for each in _compared(made, heard))


def _compared(made: Bench, heard: Heard) -> list[Disagreement]:
    return made.compare(heard.exhibit, heard.told, [each.r for each in heard.both])


RAW = TableKey(Dialect.IPTABLES_NFT, TableFamily.IP, "raw")
"""Where an edit goes, as it says; the lines are what is done here."""


@pytest.mark.parametrize(
    ("how", "text", "fault"),
    [
        (How.REPLACE, "-A PREROUTING -j DROP", Fault.EDIT_KILLS),
        (How.REPLACE, "-A PREROUTING -p tcp --no-such-thing", Fault.EDIT_REFUSED),
        (How.AFTER, "-A PREROUTING -p 99 -j ACCEPT", Fault.EDIT_STAYS),
    ],
)
def test_a_bad_edit_is_caught(how: How, text: str, fault: Fault) -> None:
    """An edit that drops everything, one that the kernel refuses, one that changes nothing: each has its fault."""
    place = "iptables-restore:4"
    line = Place("iptables-restore", 4)
    edit = Edit(how, line, text, RAW, FlushChain("PREROUTING"))
    finding = Finding("CT103", Severity.WARNING, "made up", place=line, edits=(edit,))
    checked = Checked((finding,), 0)
    verbs = Verbs(lambda ruleset, edits, loose: checked, PRESENT.compare)
    with bench("edits", verbs) as made, closing(listened(made, range(HEARD))) as every:
        assert any(
            each.fault is fault
            for heard in every
            if heard.told.places[:1] == (place,) and heard.exhibit.script.program != "nft"
            for each in made.edits(heard.exhibit, checked, heard.both)
        )


# --- what the generators make ---------------------------------------------------------------------------------------

NEEDS_MORE = {"CT108": "it needs a conntrack table", "CT119": "on every made-up host CT106 tells it"}
"""Findings that the made-up rules cannot show."""
ENOUGH = 250


@pytest.fixture(scope="module")
def rows(made: Bench) -> Counter[str]:
    """Codes that check shows on made-up rule sets, until every one was there."""
    seen: Counter[str] = Counter()
    wanted = {page.CODE for page in PAGES} - NEEDS_MORE.keys()
    for index in range(ENOUGH):
        if wanted <= seen.keys():
            break
        shown = exhibit(SEED, index)
        try:
            made.r.load(shown.script.batches())
            seen.update(_codes(made, shown))
        except HostError:
            continue
        finally:
            made.r.unload()
    return seen


def _codes(made: Bench, shown: Exhibit) -> set[str]:
    told = made.read(made.r, shown)
    try:
        return {finding.code for finding in found_in(told.ruleset, None, lambda: None)}
    except Exception:  # a verb that fails is a disagreement, and counted as one
        return set()


@pytest.mark.parametrize("code", [page.CODE for page in PAGES if page.CODE not in NEEDS_MORE])
def test_the_generator_makes_a_row_of_every_finding(rows: Counter[str], code: str) -> None:
    """Each code of the registry is shown on some made-up rule set."""
    assert rows[code]


def test_the_generators_make_every_path_kind_dialect_and_family() -> None:
    """Twenty exhibits have all paths and dialogues that the registries name, in both dialects and families."""
    shown = [exhibit(SEED, index) for index in range(20)]
    talks = [talk for each in shown for talk in each.dialogues]
    assert set(PATHS) == {talk.path for talk in talks}
    assert {*KINDS, *LONE} == {talk.kind for talk in talks}
    assert {"nft", "iptables-restore"} == {each.script.program for each in shown}
    assert {1, 2} == {len(each.families) for each in shown}


# --- today's verbs ----------------------------------------------------------------------------------------------------


def test_the_known_disagreements_do_not_grow() -> None:
    """A short run of today's verbs: no kind of disagreement is new, and none shows more often than is written down."""
    found = run(Wanted(12, SEED))
    if os.environ.get("GOLDEN") == "accept":
        KNOWN.write_text(json.dumps(dict(sorted(found.affected.items())), indent=1) + "\n", encoding="utf-8")
    known = json.loads(KNOWN.read_text(encoding="utf-8"))
    assert {} == {kind: n for kind, n in found.affected.items() if n > known.get(kind, 0)}
    assert 12 == found.rulesets + found.refused
