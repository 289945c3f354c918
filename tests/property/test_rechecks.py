"""An edit's rules are looked at again with what was found of the rules before it: the same as if they stood alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from conntrim.core.change.apply import NotThereError, apply
from conntrim.core.change.edits import change_of
from conntrim.core.diagnose.rulesets.case import Known, case_of
from conntrim.core.diagnose.rulesets.registry import found_in
from conntrim.core.model.address import Family
from conntrim.core.model.finding import Finding
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.names import Names
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.lab.held.court import exhibit
from conntrim.lab.held.verbs import told_xt

HOSTS = sorted((Path(__file__).parents[1] / "golden" / "hosts").glob("*.save"))
SEED, MADE = 17, 20


def never() -> None:
    """There is time enough."""


def made() -> Iterator[tuple[str, Ruleset]]:
    """Whole hosts, and rule sets as `lab claims` makes them: untracking rightly and wrongly, both families."""
    yield from ((path.name, read(path.read_text(), path.name)) for path in HOSTS)
    for index in range(MADE):
        script = exhibit(SEED, index).script
        if script.program != "nft":  # what nft made of it only a kernel says
            yield f"{SEED}:{index}", told_xt(script).ruleset


def edited(ruleset: Ruleset, found: list[Finding]) -> Iterator[Ruleset]:
    """The rule set with the edits of each finding done, proved or not, and with all of them."""
    for edits in (*(f.edits for f in found), tuple(dict.fromkeys(e for f in found for e in f.edits))):
        try:
            after = apply(change_of(edits), ruleset)
        except NotThereError:
            continue
        if edits:
            yield after


def told(found: Iterable[Finding]) -> list[tuple[object, ...]]:
    """All but the packet that is shown: of those that show a finding equally well any may be."""
    return [(f.name, f.severity, f.caused_by, f.advice, f.edits) for f in found]


RULESETS = dict(made())


@pytest.mark.parametrize("name", RULESETS)
def test_a_recheck_that_shares_finds_what_one_by_itself_finds(name: str) -> None:
    """With spaces that know the rules before the edit, and look at chains for all packets of a direction, every finding
    is the one that new spaces give, which look at each chain for the packets of the question."""
    ruleset = RULESETS[name]
    known = case_of(ruleset, None).known
    found = list(found_in(ruleset, None, never, known=known))
    for after in edited(ruleset, found):
        alone = Known(tuple(PacketVars(family, Names.of((after,))) for family in Family))
        assert told(found_in(after, None, never, known=alone)) == told(found_in(after, None, never, known=known))


def test_edits_are_among_them() -> None:
    """Enough of them have findings whose edits change the rules."""
    edits = sum(1 for r in RULESETS.values() for f in found_in(r, None, never) if f.edits)
    assert edits >= 30
