"""Every table about fields has a row for every field: one that lacks it is named, with the field that it lacks."""

from collections.abc import Collection, Iterator
from dataclasses import fields

import pytest

from conntrim.cli.explain import UNSAID
from conntrim.core.dialect import nft, xt
from conntrim.core.emit import nft_match, xt_option
from conntrim.core.model.fields import FIELDS, ChangedBy, Field, Reading, Source
from conntrim.core.model.kinds import DOES
from conntrim.core.model.packet import Packet
from conntrim.core.netfilter import matches
from conntrim.core.parse.xt import matches as xt_read
from conntrim.core.parse.xt import rule as xt_rule
from conntrim.core.prove import cube_cover, match_encoder, packet_text
from conntrim.lab import wire

Rows = Collection[object]


def having(*sources: Source) -> set[Field]:
    """The fields that the kernel has from there."""
    return {field for field, spec in FIELDS.items() if spec.source in sources}


def said() -> set[Field]:
    """The header's fields that every packet has, whatever its protocol."""
    return {field for field in having(Source.HEADER) if not FIELDS[field].protocols}


IN_OTHER_WORDS = {nft.Spelt.FLAGS, nft.Spelt.STATES, nft.Spelt.DEVICES}
"""Values of nft of which a set asks another question: written with the match."""

OWN_WORDS = {Field.PROTOCOL}
"""Fields that begin a sentence: no word stands before their values."""

TABLES: dict[str, tuple[Rows, Rows]] = {
    "model.fields.FIELDS": (FIELDS, set(Field)),
    "model.packet.Packet": (
        {each.name for each in fields(Packet)},
        {spec.attribute for spec in FIELDS.values() if spec.attribute},
    ),
    "dialect.xt.OPTIONS": ({row.field for row in xt.OPTIONS} | xt.ELSEWHERE.keys(), set(Field)),
    "dialect.nft.EXPRESSIONS": ({row.field for row in nft.EXPRESSIONS} | nft.ELSEWHERE.keys(), set(Field)),
    "dialect.nft.TYPES": (nft.TYPES, {row.type for row in nft.EXPRESSIONS}),
    "parse.xt.matches.READERS": (
        xt_read.READERS.keys() | xt_rule.OTHERS.keys() | {xt.Says.ADDRESS, xt.Says.PORTS, xt.Says.NAMES},
        set(xt.Says),
    ),
    "emit.xt_option.WRITERS": (xt_option.WRITERS, set(xt.Says) - {xt.Says.DEVICE}),
    "emit.nft_match.SPELLINGS": (nft_match.SPELLINGS, set(nft.Spelt) - IN_OTHER_WORDS),
    "netfilter.matches.VALUES": (matches.VALUES, set(Field) - having(Source.DEVICE)),
    "prove.match_encoder.SPECIAL": (
        match_encoder.SPECIAL,
        having(Source.BESIDE, Source.WORKED_OUT) | {f for f, s in FIELDS.items() if s.changed is ChangedBy.HOP},
    ),
    "prove.cube_cover.FREED": (cube_cover.FREED, {f for f, s in FIELDS.items() if s.reading is not Reading.SILENT}),
    "prove.packet_text.WORDINGS": (packet_text.WORDINGS, set(Reading) - {Reading.SILENT}),
    "model.fields.FIELDS, phrases": (
        {f for f, s in FIELDS.items() if s.phrase},
        {f for f, s in FIELDS.items() if s.reading is not Reading.SILENT} - OWN_WORDS,
    ),
    "model.kinds.DOES": (
        {field for done in DOES.values() for field in done.writes} - {Field.MARK},
        {f for f in said() if FIELDS[f].changed in (ChangedBy.RULES, ChangedBy.HOP)},
    ),
    "cli.explain.UNSAID": (UNSAID, said() - {Field.PROTOCOL, Field.SRC, Field.DST}),
    "lab.wire.TRAFFIC_CLASS": (wire.TRAFFIC_CLASS.keys() | wire.FILLED_IN, said()),
}
"""Each table, its rows, and what must have one."""


def lacking(name: str, rows: Rows, wanted: Rows) -> list[str]:
    """What a table lacks, by name."""
    return sorted(f"{name} lacks {getattr(each, 'name', each)}" for each in wanted if each not in rows)


def single_rows() -> Iterator[tuple[str, object]]:
    """Each row of each table that something must have."""
    for name, (rows, wanted) in TABLES.items():
        yield from ((name, row) for row in sorted(rows, key=str) if row in wanted)


@pytest.mark.parametrize("name", TABLES)
def test_no_table_lacks_a_row(name: str) -> None:
    """Every field, and every way of writing one, has its row."""
    assert lacking(name, *TABLES[name]) == []


@pytest.mark.parametrize(("name", "row"), list(single_rows()), ids=lambda each: str(getattr(each, "name", each)))
def test_a_row_taken_away_is_missed_by_name(name: str, row: object) -> None:
    """Whichever row a table loses, the table and the row are named, and nothing else."""
    rows, wanted = TABLES[name]
    assert lacking(name, [each for each in rows if each != row], wanted) == [
        f"{name} lacks {getattr(row, 'name', row)}"
    ]


@pytest.mark.parametrize("field", Field)
def test_the_mirror_of_the_mirror_is_the_field(field: Field) -> None:
    """The answer to the answer stands where the request stood, and is as wide."""
    other = FIELDS[FIELDS[field].mirror]
    assert (other.mirror, other.bits, other.source) == (field, FIELDS[field].bits, FIELDS[field].source)


def test_each_field_is_said_one_way_or_elsewhere() -> None:
    """No field is both in a dialect's rows and among those that something else says."""
    for rows, elsewhere in ((xt.OPTIONS, xt.ELSEWHERE), (nft.EXPRESSIONS, nft.ELSEWHERE)):
        assert not {row.field for row in rows} & elsewhere.keys()


def test_ranks_are_all_different() -> None:
    """Which property a box gives up first is told for any two of them."""
    ranks = [spec.rank for spec in FIELDS.values() if spec.rank]
    assert len(ranks) == len(set(ranks))
