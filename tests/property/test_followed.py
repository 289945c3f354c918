"""Translations followed for all packets at once, and by the evaluator for one: both say who reaches what."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conntrim.core.model.address import Family, format_address, parse_address, parse_prefix
from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.netfilter.kernel import Kernel, Route
from conntrim.core.netfilter.outcome import Fate
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.compare import Comparison, Difference, compare
from conntrim.core.prove.populations import Population

MANY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
HOST, PODS, OUTSIDE = "198.51.100.4", ("10.77.0.5", "10.77.0.6"), ("203.0.113.9", "203.0.113.10")
PORTS = (7080, 7081, 80, 81)
LOCAL = Intervals.union_of([parse_prefix(HOST)])
KERNEL = Kernel(
    local=LOCAL,
    routes=(
        Route(parse_prefix("10.77.0.0/16"), "br7", parse_address("10.77.0.1")),
        Route(parse_prefix("0.0.0.0/0"), "eth0", parse_address(HOST)),
    ),
)
PORT, POD, SOURCE = st.sampled_from(PORTS), st.sampled_from(PODS), st.sampled_from(OUTSIDE)
SOURCES = SOURCE.map(lambda address: f"-s {address}/32 ")
NAT = st.one_of(
    st.builds("-A PREROUTING {}-p tcp -m tcp --dport {} -j DNAT --to-destination {}:{}\n".format,
              st.one_of(st.just(""), SOURCES), PORT, POD, st.sampled_from((80, 81))),
    st.builds("-A PREROUTING {}-p tcp -m tcp --dport {} -j DNAT --to-destination {}\n".format,
              st.one_of(st.just(""), SOURCES), PORT, POD),
    st.builds("-A PREROUTING -p tcp -m tcp --dport {} -j REDIRECT --to-ports {}\n".format, PORT, PORT),
    st.builds("-A PREROUTING {}-j ACCEPT\n".format, SOURCES),
)  # fmt: skip
MARKS = st.builds("-A PREROUTING -p tcp -m tcp --dport {} -j MARK --set-xmark 0x6/0xffffffff\n".format, PORT)
END = st.sampled_from(("ACCEPT", "DROP"))
FILTER = st.one_of(
    st.builds("-A FORWARD -d {}/32 ! -i br7 -o br7 -p tcp -m tcp --dport {} -j {}\n".format, POD, PORT, END),
    st.builds("-A FORWARD {}-j {}\n".format, SOURCES, END),
    st.builds("-A FORWARD -m mark --mark 0x6 -j {}\n".format, END),
    st.builds("-A INPUT -p tcp -m tcp --dport {} -j {}\n".format, PORT, END),
    st.builds("-A FORWARD -m conntrack --ctstate DNAT -j {}\n".format, END),
)
LINES = st.tuples(*(st.lists(kind, max_size=4) for kind in (NAT, MARKS, FILTER)))


Lines = tuple[list[str], ...]


def rules(lines: Lines) -> Ruleset:
    """A rule set of three tables."""
    nat, mangle, flt = map("".join, lines)
    return read(
        f"*nat\n:PREROUTING ACCEPT [0:0]\n{nat}COMMIT\n*mangle\n:PREROUTING ACCEPT [0:0]\n{mangle}COMMIT\n"
        f"*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n{flt}COMMIT\n",
        "random",
    )


def reached(ruleset: Ruleset, packet: Packet) -> tuple[str, int | None] | None:
    """Where the evaluator has the packet end; None where it does not pass."""
    told = simulate(ruleset, packet, kernel=KERNEL)
    assert told.verdict is not Fate.NOT_DECIDED, told.undecided
    return (format_address(told.left.dst), told.left.dport) if told.verdict is Fate.ACCEPT else None


def dropping(data: st.DataObject, lines: Lines) -> tuple[Ruleset, Ruleset]:
    """The rules and the same without one, in either order."""
    every = [(kind, at) for kind, found in enumerate(lines) for at in range(len(found))]
    kind, at = data.draw(st.sampled_from(every))
    less = tuple(found[:at] + found[at + 1 :] if n == kind else found for n, found in enumerate(lines))
    pair = rules(lines), rules(less)
    return pair if data.draw(st.booleans()) else (pair[1], pair[0])


def translated(found: Comparison) -> list[Difference]:
    """What is told of targets."""
    return [d for d in found.differences if d.population is Population.TRANSLATED]


def opening(source: str, port: int) -> Packet:
    """The first packet of a connection to the host."""
    return Packet(
        Family.IPV4, 6, parse_address(source), parse_address(HOST), 40_000, port, int(TcpFlag.SYN), iif="eth0"
    )


@MANY
@given(LINES.filter(any), st.data())
def test_who_newly_reaches_what_is_told(lines: Lines, data: st.DataObject) -> None:
    """One rule is left out: each packet that then reaches another end, or one no longer, is among what is told of that
    end."""
    pair = dropping(data, lines)
    found = compare(pair[0], pair[1], LOCAL)
    assert found.undecided == ()
    told = {(d.admitted, to) for d in translated(found) for to in d.to}
    for packet in (opening(source, port) for source in OUTSIDE for port in PORTS):
        before, after = (reached(ruleset, packet) for ruleset in pair)
        assert before == after or not found.same
        for end, admitted in ((after, True), (before, False)):
            if end is not None and before != after and end != (HOST, packet.dport):
                names = {f"{end[0]}:{end[1]}", end[0], f":{end[1]}"}
                assert any((admitted, name) in told for name in names), (packet, before, after, told)


@MANY
@given(LINES.filter(any), st.data())
def test_witnesses_of_what_is_told_reach_it(lines: Lines, data: st.DataObject) -> None:
    """What a witness reaches is another thing under one rule set than under the other."""
    pair = dropping(data, lines)
    witnesses = [region.witness for d in translated(compare(pair[0], pair[1], LOCAL)) for region in d.regions]
    for witness in witnesses:
        if witness.iif == "eth0" and witness.dst == parse_address(HOST):
            before, after = (reached(ruleset, witness) for ruleset in pair)
            assert before != after
