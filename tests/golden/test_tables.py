"""Saved tables in every text form against numbers counted by hand."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

import pytest

from conntrim.app.census import take_census
from conntrim.core.model.address import parse_address
from conntrim.core.model.census import IDLE_STEPS, Census, Viewpoint
from conntrim.core.model.errors import InputError
from conntrim.core.model.intervals import Intervals
from conntrim.host import flow_files
from conntrim.host.flow_files import FileFlows
from conntrim.render.census import By, census_fields, census_text

TABLES = Path(__file__).parent / "tables"
FORMS = ["nf_conntrack.txt", "conntrack_extended.txt", "conntrack.txt"]
LOCAL = Viewpoint(Intervals.of(parse_address("192.168.0.18"), parse_address("2001:db8::18")))

BY_HAND = {
    "outbound tcp/11211 to 192.168.0.17, 192.168.0.19": (3, 0, 0, 0, 2),
    "outbound udp/53 to 192.0.2.53": (3, 1, 0, 0, 1),
    "inbound tcp/80": (4, 2, 0, 1, 4),
    "inbound icmp/8": (1, 0, 0, 0, 1),
    "loopback tcp/8080": (1, 0, 0, 0, 1),
    "inbound sctp/2905": (1, 0, 0, 0, 1),
    "inbound gre/0": (1, 0, 0, 0, 1),
    "inbound proto-99/0": (1, 1, 0, 0, 1),
    "forwarded tcp/8443": (1, 0, 1, 0, 1),
    "forwarded tcp/443": (1, 0, 1, 0, 1),
    "outbound icmpv6/128 to 2001:db8::1": (1, 0, 0, 0, 1),
}
"""Service to entries, unreplied, translated, picked up, peers."""


def census_of(name: str) -> Census:
    """The census of one of our tables, as the host that it was made for."""
    return take_census(FileFlows(str(TABLES / name)), LOCAL, 100)


@pytest.mark.parametrize("name", FORMS)
def test_services_are_as_counted_by_hand(name: str) -> None:
    """Every text form of one table gives the services that a person counts, NAT, IPv6 and loopback among them."""
    found = {
        str(s.service): (s.entries, s.unreplied, s.translated, s.picked_up, s.peers) for s in census_of(name).services
    }
    assert found == BY_HAND


@pytest.mark.parametrize("name", FORMS)
def test_states_peers_and_zones_are_as_counted_by_hand(name: str) -> None:
    """The other breakdowns of the same table."""
    census = census_of(name)
    states = {row.key: (row.entries, row.unreplied) for row in census.states.rows}
    assert states == {
        "tcp time_wait": (4, 0), "tcp established": (4, 1), "tcp syn_sent": (1, 1), "tcp": (1, 0),
        "udp unreplied": (1, 1), "udp replied": (1, 0), "udp stream": (1, 0), "icmp": (1, 0), "icmpv6": (1, 0),
        "sctp established": (1, 0), "gre stream": (1, 0), "proto-99": (1, 1),
    }  # fmt: skip
    peers = {row.key: row.entries for row in census.peers.rows}
    assert peers["203.0.113.5"] == 5
    assert sum(peers.values()) == census.total == 18
    assert {row.key: row.entries for row in census.zones.rows} == {"0": 17, "3": 1}
    assert (census.bad_lines, census.remarks) == (0, ())


def test_idle_time_is_the_state_s_time_out_minus_what_is_left() -> None:
    """TIME_WAIT entries with 117, 60 and 3 of 120 seconds left have been idle for 3, 60 and 117 seconds."""
    service = next(s for s in census_of("nf_conntrack.txt").services if s.service.port == 11211)
    idle = {IDLE_STEPS[i]: n for i, n in enumerate(service.states[0].idle) if n}
    assert idle == {5: 1, 90: 1, 120: 1}


def test_the_document_s_wrapped_lines_are_two_entries() -> None:
    """2.6's ip_conntrack, wrapped over nine lines; the host is inferred as the one that takes part in both."""
    census = take_census(FileFlows(str(TABLES / "ip_conntrack_wrapped.txt")), None, 10)
    assert [str(s.service) for s in census.services] == ["inbound tcp/22", "outbound tcp/3306 to 192.168.0.17"]
    assert (census.total, census.local, census.local_inferred, census.bad_lines) == (2, ("192.168.0.18",), True, 0)


@pytest.mark.parametrize("columns", [40, 72, 100])
def test_wrapping_changes_nothing(columns: int, tmp_path: Path) -> None:
    """A table that mail software folded between words gives the same census."""
    folded = tmp_path / "folded"
    lines = (TABLES / "nf_conntrack.txt").read_text().splitlines()
    folded.write_text("\n".join(re.sub(rf"(.{{{columns},}}?) ", r"\1\n", line) for line in lines) + "\n")
    assert take_census(FileFlows(str(folded)), LOCAL, 100).services == census_of("nf_conntrack.txt").services


def test_compressed_tables_read_the_same(tmp_path: Path) -> None:
    """A .gz, known by its content and not by its name."""
    packed = tmp_path / "table"
    packed.write_bytes(gzip.compress((TABLES / "nf_conntrack.txt").read_bytes()))
    assert take_census(FileFlows(str(packed)), LOCAL, 100).services == census_of("nf_conntrack.txt").services


def test_a_compressed_table_that_was_cut_off_is_used_and_said_so(tmp_path: Path) -> None:
    """Half of a .gz: its lines count, the last and broken one does not, and the census says that there was more."""
    packed = tmp_path / "table"
    whole = gzip.compress((TABLES / "nf_conntrack.txt").read_bytes() * 200, mtime=0)
    packed.write_bytes(whole[: len(whole) // 2])
    census = take_census(FileFlows(str(packed)), LOCAL, 100)
    assert 0 < census.total < 3_600
    assert "cut off" in census.remarks[0]
    assert census_text(census, By.SERVICE).startswith(f"{census.total:,} entries (incomplete); ")
    assert census_fields(census)["incomplete"] is True


@pytest.mark.parametrize("lost", range(1, 40))
def test_the_torn_line_of_a_file_that_was_cut_off_does_not_count(tmp_path: Path, lost: int) -> None:
    """Cut anywhere in its last line, in a port or between words: that line is no entry, not one with another port."""
    line = "tcp 6 9 CLOSE src=192.0.2.1 dst=192.0.2.2 sport=40000 dport=80 "
    line += "src=192.0.2.2 dst=192.0.2.1 sport=80 dport=40000"
    stored = zlib.compressobj(0, zlib.DEFLATED, 31)
    packed = tmp_path / "table"
    packed.write_bytes((stored.compress(f"{line}\n{line}\n".encode()) + stored.flush())[: -8 - lost])
    census = take_census(FileFlows(str(packed)), LOCAL, 100)
    assert (census.total, census.bad_lines, census.services[0].translated) == (1, 0, 0)


def test_a_compressed_table_that_is_cut_off_before_its_first_entry_is_refused(tmp_path: Path) -> None:
    """With that word, and not as an empty file or one of another kind."""
    packed = tmp_path / "table"
    whole = gzip.compress((TABLES / "nf_conntrack.txt").read_bytes(), compresslevel=0, mtime=0)
    for length in (12, 40):
        packed.write_bytes(whole[:length])
        with pytest.raises(InputError, match="cut off or damaged, and nothing came before"):
            take_census(FileFlows(str(packed)), LOCAL, 100)


def test_zstd_is_read_or_asked_for(tmp_path: Path) -> None:
    """A .zst reads as the table itself where Python can unpack it; else the error names the package."""
    packed = tmp_path / "table"
    if flow_files.zstd is None:
        packed.write_bytes(flow_files.ZSTD + b"anything")
        with pytest.raises(InputError, match=r"conntrim\[zstd\]"):
            take_census(FileFlows(str(packed)), LOCAL, 100)
        return
    packed.write_bytes(flow_files.zstd.compress((TABLES / "nf_conntrack.txt").read_bytes()))
    assert take_census(FileFlows(str(packed)), LOCAL, 100).services == census_of("nf_conntrack.txt").services
    line = (
        "udp 17 9 src=192.0.2.1 dst=192.0.2.2 sport={0} dport=53 src=192.0.2.2 dst=192.0.2.1 sport=53 dport={0} use=1\n"
    )
    packed.write_bytes(flow_files.zstd.compress("".join(map(line.format, range(1, 9_999))).encode())[:-20])
    assert "cut off" in take_census(FileFlows(str(packed)), LOCAL, 100).remarks[0]
