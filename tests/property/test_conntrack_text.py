"""The fast way through a saved table says what the slow one says, of good lines and of damaged ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from conntrim.core.model.flows import SHAPES, FlowTable
from conntrim.core.parse.conntrack_columns import BEFORE, Piece
from conntrim.core.parse.conntrack_line import BadEntryError, parse_entry
from conntrim.core.parse.conntrack_text import TextTable

STATES = ["SYN_SENT ", "SYN_RECV ", "ESTABLISHED ", "FIN_WAIT ", "CLOSE_WAIT ", "LAST_ACK ", "TIME_WAIT ", "CLOSE ",
          "NONE ", "SYN_SENT2 "]  # fmt: skip
ports, octets = st.integers(0, 65_535), st.integers(0, 255)
addresses = st.builds("{}.{}.{}.{}".format, octets, octets, octets, octets)


halves = st.lists(st.sampled_from(["0000", "2001", "0db8", "ffff", "00a1"]), min_size=8, max_size=8)
full_v6 = st.builds(":".join, halves)


@st.composite
def entries(draw: st.DrawFn) -> str:
    """A line as any of the listings writes it, now and then with NAT."""
    tcp, counted = draw(st.booleans()), draw(st.booleans())
    v6 = draw(st.integers(0, 3)) == 0
    ends = full_v6 if v6 else addresses
    src, dst, sport, dport = draw(ends), draw(ends), draw(ports), draw(ports)
    back = draw(ends) if draw(st.integers(0, 4)) == 0 else dst
    counters = st.builds("packets={} bytes={} ".format, st.integers(0, 10**9), st.integers(0, 10**14))
    return (
        ("ipv6     10 " if v6 else draw(st.sampled_from(["", "ipv4     2 "])))
        + ("tcp      6 " if tcp else "udp      17 ")
        + f"{draw(st.integers(0, 432_000))} {draw(st.sampled_from(STATES)) if tcp else ''}"
        + f"src={src} dst={dst} sport={sport} dport={dport} {draw(counters) if counted else ''}"
        + draw(st.sampled_from(["", "[UNREPLIED] "]))
        + f"src={back} dst={src} sport={dport} dport={sport} {draw(counters) if counted else ''}"
        + draw(st.sampled_from(["", "[ASSURED] ", "[OFFLOAD] "]))
        + draw(st.sampled_from(["", "mark=0 ", "mark=4294967295 "]))
        + draw(st.sampled_from(["", "secctx=system_u:object_r:unlabeled_t:s0 "]))
        + draw(st.sampled_from(["", "zone=0 ", "zone=7 "]))
        + f"use={draw(st.integers(1, 9))}"
    )


def rows_of(table: FlowTable) -> list[tuple[Any, ...]]:
    """The entries of a table, sorted."""
    columns = [getattr(table, name).tolist() for name in SHAPES]
    return sorted(tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in zip(*columns, strict=True))


def slow(lines: list[str]) -> tuple[list[tuple[Any, ...]], int]:
    """Every line by the slow reader: rows, and the number of bad ones."""
    rows, bad = [], 0
    for line in lines:
        try:
            row = parse_entry(line.encode("latin-1"))
        except BadEntryError:
            bad += 1
            continue
        value: dict[str, Any] = {
            n: divmod(row.get(n, 0), 1 << 64) if w == 2 else row.get(n, 0) for n, (_, w) in SHAPES.items()
        }
        rows.append(tuple(value[name] for name in SHAPES))
    return sorted(rows), bad


@settings(max_examples=200, deadline=None)
@given(st.lists(entries(), min_size=1, max_size=12))
def test_usual_lines_read_fast_are_the_same_read_slowly(lines: list[str]) -> None:
    """Column by column, whatever the listing's form."""
    table = TextTable("-")
    assert rows_of(table.feed("\n".join(lines).encode() + b"\n", last=True)) == slow(lines)[0]
    assert table.bad_lines == 0


@settings(max_examples=400, deadline=None)
@given(st.lists(entries(), min_size=1, max_size=4), st.data())
def test_a_damaged_line_is_never_read_as_something_else(lines: list[str], data: st.DataObject) -> None:
    """One byte of one line replaced: what the fast reader still takes is what the slow reader takes."""
    which = data.draw(st.integers(0, len(lines) - 1))
    at = data.draw(st.integers(0, len(lines[which]) - 1))
    with_ = data.draw(st.sampled_from("0159.=:/; ]x["))
    lines[which] = lines[which][:at] + with_ + lines[which][at + 1 :]
    text = bytes(BEFORE) + "".join(f"{line}\n" for line in lines).encode()
    for numbers, columns in Piece(np.frombuffer(text, np.uint8)).usual():
        for i, number in enumerate(numbers.tolist()):
            expected = parse_entry(lines[number].encode())
            found = {name: column[i].tolist() for name, column in columns.items()}
            for name, value in found.items():
                wanted = expected.get(name, 0)
                assert value == (list(divmod(wanted, 1 << 64)) if SHAPES[name][1] == 2 else wanted)


def test_nearly_all_lines_of_a_usual_table_are_usual() -> None:
    """The fast way is taken: otherwise the tests above would prove nothing."""
    line = "tcp      6 431999 ESTABLISHED src=192.0.2.1 dst=192.0.2.2 sport=4000 dport=80 src=192.0.2.2 dst=192.0.2.1 "
    lines = [f"ipv4     2 {line}sport=80 dport=4000 [ASSURED] mark=0 zone=0 use=2", f"{line}sport=80 dport=4000 use=1"]
    lines.append(
        lines[0].replace("192.0.2.", "2001:0db8:0000:0000:0000:0000:0000:000").replace("ipv4     2", "ipv6     10")
    )
    text = bytes(BEFORE) + "".join(f"{line}\n" for line in lines).encode()
    assert sum(len(numbers) for numbers, _ in Piece(np.frombuffer(text, np.uint8)).usual()) == 3
