"""Listings as they reach us: copied, quoted, numbered, wrapped, torn by a message, with words of vendors' kernels."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from conntrim.core.model.errors import InputError
from conntrim.core.parse.conntrack_text import TextTable

LINES = [
    "tcp      6 431999 ESTABLISHED src=192.0.2.7 dst=198.51.100.3 sport=40112 dport=8443 "
    "src=198.51.100.3 dst=192.0.2.7 sport=8443 dport=40112 [ASSURED] mark=0 use=1",
    "udp      17 21 src=192.0.2.7 dst=198.51.100.53 sport=35353 dport=53 [UNREPLIED] "
    "src=198.51.100.53 dst=192.0.2.7 sport=53 dport=35353 mark=0 use=1",
    "ipv4     2 icmp     1 12 src=192.0.2.7 dst=198.51.100.9 type=8 code=0 id=77 "
    "src=198.51.100.9 dst=192.0.2.7 type=0 code=0 id=77 mark=0 zone=0 use=2",
]
TRAILER = "conntrack v1.4.8 (conntrack-tools): 3 flow entries have been shown."

Row = tuple[int, int, int, int, int]


def read(text: str) -> tuple[list[Row], TextTable]:
    """The entries of a text, sorted, and the reader with what it has to say."""
    reader = TextTable("saved")
    table = reader.feed(text.encode(), last=True)
    columns = (table.protocol, table.dport, table.reply_dport, table.status, table.mark)
    return sorted(zip(*(column.tolist() for column in columns), strict=True)), reader


CLEAN = read("\n".join(LINES) + "\n")[0]


def backslashes(lines: list[str]) -> str:
    """Wrapped before the second tuple and before the mark, as shell users and manuals do."""
    return "".join(re.sub(r" (?=src=198|mark=)", " \\\\\n           ", line) + "\n" for line in lines)


FORMS: dict[str, Callable[[list[str]], str]] = {
    "quoted": lambda lines: "".join(f"> {line}\n" for line in lines),
    "quoted twice": lambda lines: "".join(f">> > {line}\n" for line in lines),
    "cat -n": lambda lines: "".join(f"{i:6}\t{line}\n" for i, line in enumerate(lines, 41)),
    "grep -n": lambda lines: "".join(f"{i * 7}:{line}\n" for i, line in enumerate(lines, 1)),
    "less -N": lambda lines: "".join(f"{i:7} {line}\n" for i, line in enumerate(lines, 1)),
    "backslashes": backslashes,
    "quoted and wrapped": lambda lines: "".join("> " + re.sub(r" (?=sport)", "\n> ", line) + "\n" for line in lines),
    "backslashes numbered": lambda lines: "".join(
        f"{i:6}\t{line}\n" for i, line in enumerate(backslashes(lines).splitlines(), 1)
    ),
    "the command above": lambda lines: "# conntrack -L\n" + "\n".join(lines),
    "a prompt before and after": lambda lines: (
        "ops@gw3:~$ sudo conntrack -L\nops@gw3:~$ " + "\n".join(lines) + "\nops@gw3:~$ "
    ),
    "CRLF": lambda lines: "\r\n".join(lines) + "\r\n",
    "trailer": lambda lines: "\n".join([*lines, TRAILER]),
    "trailer glued to the last": lambda lines: "\n".join(lines) + TRAILER,
    "trailer glued to the first": lambda lines: TRAILER + "\n".join(lines),
    "vendor's flags": lambda lines: "".join(
        line.replace("mark=0", "[SWNAT] [CACHED i7/o12] mark=0 nmark=3 macsrc=00:00:5e:00:53:11") + "\n"
        for line in lines
    ),
    "vendor's words": lambda lines: "".join(
        f"{line.replace('use=', 'nomac lan2 no_if attrs= use=')}\n" for line in lines
    ),
    "-o id and times": lambda lines: "".join(
        f"{line} [start=Wed Nov 25 10:11:12 2026] [stop=Wed Nov 25 10:12:12 2026] id=2271560481\n" for line in lines
    ),
    "hexadecimal marks": lambda lines: "".join(line.replace("mark=0", "mark=0x0") + "\n" for line in lines),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_entries(form: str) -> None:
    """What copying did to a listing changes none of its entries and costs no line."""
    rows, reader = read(FORMS[form](LINES))
    assert (rows, reader.remarks, reader.bad_lines, reader.missing) == (CLEAN, (), 0, 0)


@pytest.mark.parametrize("at", range(len("\n".join(LINES)) + 1))
def test_a_message_anywhere_tears_no_entry_apart(at: int) -> None:
    """conntrack's own count printed into its listing, at every place: all entries, or one is said to be missing; never
    an entry that was not there.
    """
    text = "\n".join(LINES) + "\n"
    rows, reader = read(f"{text[:at]}{TRAILER}\n{text[at:]}")
    assert rows == CLEAN or (set(rows) < set(CLEAN) and reader.missing == 3 - len(rows) and reader.remarks)


def test_a_message_in_the_middle_of_a_port_is_mended() -> None:
    """The usual case: the line goes on in the next one, without a blank between."""
    at = LINES[1].index("35353") + 3
    text = "\n".join([LINES[0], LINES[1][:at] + TRAILER, LINES[1][at:], LINES[2]])
    assert read(text)[0] == CLEAN


def test_hexadecimal_marks_are_numbers() -> None:
    """`mark=0x1f` is 31; a mark above 32 bits is none."""
    assert [row[4] for row in read(LINES[0].replace("mark=0", "mark=0x1f"))[0]] == [31]
    with pytest.raises(InputError, match="0x1ffffffff is no number of 32 bits"):
        read(LINES[0].replace("mark=0", "mark=0x1ffffffff"))


@pytest.mark.parametrize("stray", ["131072", "nf_conntrack_max", "ESTABLISHED 7", "net.netfilter.x = 5", "[NEW] tcp 6"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_stray_line_costs_only_itself(stray: str, at: int) -> None:
    """A line of something else after or between entries is one bad line; the entry before it is whole."""
    rows, reader = read("\n".join([*LINES[:at], stray, *LINES[at:]]))
    assert (rows, reader.bad_lines) == (CLEAN, 1)
    assert reader.remarks == (f"saved:{at + 1}: no conntrack entry",)


def test_a_key_that_cannot_be_read_after_a_whole_entry_costs_only_its_line() -> None:
    """It looks like the rest of a wrapped entry and is none."""
    rows, reader = read("\n".join([LINES[0], "mark=everything", *LINES[1:]]))
    assert (rows, reader.bad_lines) == (CLEAN, 1)


def test_conntrack_s_own_count_is_compared() -> None:
    """Fewer entries than it showed: they are missing, and that is said; two listings in one file are added up."""
    rows, reader = read("\n".join([*LINES[:2], TRAILER]))
    assert (len(rows), reader.missing) == (2, 1)
    assert reader.remarks == ("saved: conntrack showed 3 entries, 2 are read here: the others are missing",)
    assert read("\n".join([*LINES, TRAILER] * 2))[1].remarks == ()


def test_more_entries_than_counted_are_said_and_nothing_is_missing() -> None:
    """Two listings, one of them without its count."""
    reader = read("\n".join([*LINES, *LINES, TRAILER]))[1]
    assert reader.remarks == ("saved: conntrack showed 3 entries, 6 are read here",)


def test_an_empty_table_is_called_empty() -> None:
    """Nothing but conntrack's own count of 0."""
    with pytest.raises(InputError, match="the table was empty"):
        read(TRAILER.replace("3 flow", "0 flow") + "\n")


@pytest.mark.parametrize(
    "line",
    [
        LINES[1].replace("[UNREPLIED]", "[UNREPL1ED]"),
        LINES[1].replace("[UNREPLIED]", "[XNREPLIED]"),
        LINES[1].replace("[UNREPLIED]", "unreplied"),
        LINES[0].replace("ESTABLISHED", "established"),
        LINES[0].replace("[ASSURED]", "(ASSURED)"),
        LINES[0].replace("[ASSURED]", "and then it hung!"),
        LINES[0].replace("tcp      6", "tcp      17"),
        LINES[0].replace("src=198.51.100.3", "[SWNAT]"),
        f"{LINES[0]}{LINES[0]}",
    ],
)
def test_garbage_stays_garbage(line: str) -> None:
    """Unknown words are skipped only where a vendor puts them and in its spelling; a damaged flag is no vendor's."""
    with pytest.raises(InputError, match="not a conntrack table"):
        read(line)


def test_the_refusal_names_the_commonest_reason() -> None:
    """Neither the first line nor the bad line that stands first."""
    lines = [line.replace("dst=192.0.2.7", "dst=192.0.2") for line in LINES]
    with pytest.raises(InputError, match=r"192\.0\.2 is no address") as caught:
        read("\n".join(["Here is my table:", *lines]))
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"    [NEW] {LINES[1]}\n[DESTROY] {LINES[1]}\n", "events of conntrack -E"),
        (f"[1764151872.412345]\t [UPDATE] {LINES[0]} id=99\n", "events of conntrack -E"),
        (f"> [NEW] {LINES[0]}\nconntrack v1.4.8 (conntrack-tools): 1 flow events have been shown.", "conntrack -L"),
        ('<?xml version="1.0"?>\n<svg><path/></svg>', "this is XML without a flow"),
        ('<conntrack>\n<flow type="new"><meta direction="original"></meta></flow>\n', "events of conntrack -E"),
    ],
)
def test_what_is_no_table_is_named(text: str, why: str) -> None:
    """Streams of events and XML are told from a table, with what to give instead."""
    with pytest.raises(InputError, match=why):
        read(text)


def flow(protocol: str, tuples: tuple[str, str], rest: str) -> str:
    """One entry as `conntrack -o xml` prints it."""
    layers = f"<layer4 {protocol}>" + "{}</layer4>"
    metas = "".join(
        f'<meta direction="{which}"><layer3 protonum="2" protoname="ipv4">{addresses}</layer3>{layers.format(ports)}'
        "<counters><packets>3</packets><bytes>180</bytes></counters></meta>"
        for which, (addresses, _, ports) in zip(
            ("original", "reply"), (each.partition("|") for each in tuples), strict=True
        )
    )
    return f'<flow>{metas}<meta direction="independent">{rest}<use>1</use><id>7</id></meta></flow>'


FLOWS = [
    flow('protonum="6" protoname="tcp"',
         ("<src>192.0.2.7</src><dst>198.51.100.3</dst>|<sport>40112</sport><dport>8443</dport>",
          "<src>198.51.100.3</src><dst>192.0.2.7</dst>|<sport>8443</sport><dport>40112</dport>"),
         "<state>ESTABLISHED</state><timeout>431999</timeout><mark>0</mark><assured/>"),
    flow('protonum="17" protoname="udp"',
         ("<src>192.0.2.7</src><dst>198.51.100.53</dst>|<sport>35353</sport><dport>53</dport>",
          "<src>198.51.100.53</src><dst>192.0.2.7</dst>|<sport>53</sport><dport>35353</dport>"),
         "<timeout>21</timeout><mark>0</mark><unreplied/>"),
    flow('protonum="1" protoname="icmp"',
         ("<src>192.0.2.7</src><dst>198.51.100.9</dst>|", "<src>198.51.100.9</src><dst>192.0.2.7</dst>|"),
         "<timeout>12</timeout><mark>0</mark>"),
]  # fmt: skip
"""The entries of `LINES`."""


@pytest.mark.parametrize("between", ["\n", ""])
def test_xml_holds_the_same_entries_but_for_icmp_types(between: str) -> None:
    """`-o xml`, flows on lines of their own or not: ports, states and flags are those of the text."""
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<conntrack>\n{between.join(FLOWS)}\n</conntrack>\n{TRAILER}\n'
    rows, reader = read(text)
    assert [row for row in rows if row[0] != 1] == [row for row in CLEAN if row[0] != 1]
    assert (len(rows), reader.bad_lines, reader.missing) == (3, 0, 0)
    assert reader.remarks == ("saved: XML does not hold the type of ICMP: it is shown as 0",)


@pytest.mark.parametrize("size", [1, 7, 300, 700])
def test_xml_may_come_in_pieces(size: int) -> None:
    """Cut anywhere, no flow is lost or counted twice; one that is broken costs only itself."""
    text = (
        "<conntrack>\n" + "\n".join([*FLOWS[:2], FLOWS[0].replace("192.0.2.7", "192.0.2"), FLOWS[1]]) + "\n</conntrack>"
    )
    reader = TextTable("saved")
    pieces = [text[at : at + size].encode() for at in range(0, len(text), size)]
    pieces[:12] = [b"".join(pieces[:12])]
    found = sum(len(reader.feed(piece)) for piece in pieces) + len(reader.feed(b"", last=True))
    assert (found, reader.bad_lines) == (3, 1)
    assert reader.remarks == ("saved:4: 192.0.2 is no address",)


def test_a_failure_of_conntrack_makes_the_listing_incomplete() -> None:
    """It stopped in the middle and says so; what it showed is used."""
    failure = "conntrack v1.4.8 (conntrack-tools): Operation failed: No buffer space available"
    rows, reader = read("\n".join([*LINES, failure]))
    assert (rows, reader.incomplete, reader.bad_lines) == (CLEAN, True, 0)
    assert reader.remarks == ("saved: conntrack itself failed: Operation failed: No buffer space available",)


@pytest.mark.parametrize("rest", ["a=b\n" * 60_000 + "zone=x\n", "> " * 500_000, "1" * 500_000, "$ " * 500_000])
def test_what_follows_an_entry_without_end_costs_only_itself(rest: str) -> None:
    """Lines that go on and on, or one that is nothing but what may stand before an entry."""
    rows, reader = read(f"{LINES[0]}\n{rest}\n{LINES[1]}\n")
    assert (len(rows), reader.bad_lines) == (2, 1)
