"""The policy file: what it means, and what each mistake is answered with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conntrim.core.emit.policy import emit_policy
from conntrim.core.model.address import MAPPED, Family
from conntrim.core.model.errors import InputError
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import Policy, Untrack
from conntrim.core.model.service import Direction
from conntrim.core.parse.policy import parse_policy
from tests.unit.core.parse.refusals import refusal

WEB = """\
[[untrack]]
direction = "inbound"
protocol = "tcp"
ports = [80]

[[untrack]]
direction = "outbound"
protocol = "tcp"
ports = [
  11211,  # memcached
]
to = ["192.168.0.17"]

[table]
max = 855360
"""


def test_policy_of_the_web_host() -> None:
    """An inbound and an outbound service, and a size, with the lines where they stand."""
    policy = parse_policy(WEB.encode(), "policy.toml")
    cache = Intervals.of(MAPPED | 0xC0A80011)
    assert policy == Policy(
        (
            Untrack(Direction.INBOUND, 6, Intervals.of(80), place=Place("policy.toml", 1)),
            Untrack(Direction.OUTBOUND, 6, Intervals.of(11211), cache, Place("policy.toml", 6)),
        ),
        max=855360,
    )
    assert policy.untrack[0].families() == (Family.IPV4, Family.IPV6)
    assert policy.untrack[1].families() == (Family.IPV4,)
    assert [str(u) for u in policy.untrack] == ["inbound tcp/80", "outbound tcp/11211 to 192.168.0.17"]


INBOUND = '[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\n'
OUTBOUND = '[[untrack]]\ndirection = "outbound"\nprotocol = "udp"\nports = [53]\n'
REFUSED = {
    "syntax": ("[[untrack]\n", 1, "no valid TOML"),
    "unfinished": ("[table]\nmax =\n", 2, "no valid TOML"),
    "unknown key": (INBOUND + "ports = [80]\nport = 80\n", 5, "unknown key 'port'"),
    "unknown table": ("[tabel]\nmax = 3\n", 1, "unknown key 'tabel'"),
    "wrong type": (INBOUND + "ports = [80,\n  8.5]\n", 5, "8.5 is no port"),
    "a truth value is no port": (INBOUND + "ports = true\n", 4, "True is no port"),
    "one bracket": ("[untrack]\nports = [80]\n", 1, "untrack must be a list of tables"),
    "empty ports": (INBOUND + "ports = []\n", 4, "ports is empty"),
    "the range that opened ports": (INBOUND + 'ports = ["10240-65000"]\n', 4, "54761 ports wide"),
    "many ranges": (INBOUND + 'ports = ["1-1000", "2001-3000"]\n', 4, "2000 ports in one entry"),
    "port 0": (INBOUND + "ports = [0]\n", 4, "0 is no port range"),
    "backwards": (INBOUND + 'ports = ["90-80"]\n', 4, "'90-80' is no port range"),
    "no ports": (INBOUND, 1, "ports is missing"),
    "protocol without ports": (
        '[[untrack]]\ndirection = "inbound"\nprotocol = "icmp"\nports = [8]\n',
        3,
        "icmp has no",
    ),
    "forwarded": (
        '[[untrack]]\ndirection = "forwarded"\nprotocol = "tcp"\nports = [8]\n',
        2,
        "direction = 'forwarded'",
    ),
    "outbound without to": (OUTBOUND, 1, "an outbound service without to"),
    "outbound with from": (OUTBOUND + 'from = ["10.0.0.1"]\n', 5, "from in an outbound service"),
    "to everybody": (OUTBOUND + 'to = ["10.0.0.1",\n  "0.0.0.0/0"]\n', 6, "to = 0.0.0.0/0 is too wide"),
    "to everybody, IPv6": (OUTBOUND + 'to = "::/0"\n', 5, "is too wide"),
    "to a large network": (OUTBOUND + 'to = "10.0.0.0/8"\n', 5, "to = 10.0.0.0/8 is too wide"),
    "to nobody": (OUTBOUND + "to = []\n", 5, "to is empty"),
    "no address": (OUTBOUND + 'to = ["cache.example"]\n', 5, "'cache.example' is no address"),
    "a number is no address": (OUTBOUND + "to = [17]\n", 5, "17 is no address"),
    "family without address": (OUTBOUND + 'to = ["10.0.0.1"]\nfamily = "ipv6"\n', 6, "no address in to"),
    "twice": (INBOUND + "ports = [80]\n" + INBOUND + 'ports = ["70-90"]\n', 5, "overlaps with p:1"),
    "negative size": ("[table]\nmax = -1\n", 2, "max = -1"),
    "unlimited": ("[table]\nmax = 0\n", 2, "max = 0"),
    "unknown time-out": ("[timeouts]\n\ntcp_established = 5\n", 3, "unknown key 'tcp_established'"),
    "nothing": ("# nothing\n", 0, "asks for nothing"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_are_named_with_their_line(name: str) -> None:
    """Each mistake is refused with its line and what is wrong."""
    text, line, message = REFUSED[name]
    found = refusal(text)
    assert message in found.message
    assert found.line == line


def test_other_encoding_is_refused_with_its_line() -> None:
    """Latin-1 in the third line is an input error there, not a traceback."""
    with pytest.raises(InputError) as caught:
        parse_policy(b"[table]\nmax = 5\n# \xe9t\xe9\n", "p")
    assert (caught.value.message, caught.value.line) == ("not UTF-8", 3)


ports = st.lists(st.tuples(st.integers(1, 65000), st.integers(0, 60)), min_size=1, max_size=3).map(
    lambda found: Intervals.of(*((low, low + width) for low, width in found))
)
v4 = st.tuples(st.integers(0, 2**32 - 300), st.integers(0, 255)).map(lambda p: (MAPPED | p[0], MAPPED | p[0] + p[1]))
v6 = st.tuples(st.integers(2**100, 2**127), st.integers(0, 255)).map(lambda p: (p[0], p[0] + p[1]))
servers = st.lists(v4 | v6, min_size=1, max_size=3).map(lambda found: Intervals.of(*found))
inbound = st.builds(Untrack, st.just(Direction.INBOUND), st.sampled_from([6, 17, 132]), ports, st.just(Intervals()),
                    family=st.sampled_from([None, *Family]), keep_lo_tracked=st.booleans())  # fmt: skip
outbound = st.builds(Untrack, st.just(Direction.OUTBOUND), st.sampled_from([6, 17]), ports, servers)
sizes = st.integers(1, 2**31 - 1)
policies = st.builds(
    Policy, (inbound | outbound).map(lambda u: (u,)), st.none() | sizes, st.none() | sizes,
    st.dictionaries(st.sampled_from(["nf_conntrack_udp_timeout", "nf_conntrack_tcp_timeout_close"]), sizes),
    st.just(Intervals()) | servers,
)  # fmt: skip


@given(policies)
def test_a_written_policy_reads_back(policy: Policy) -> None:
    """parse(emit(policy)) is the policy, but for the places."""
    again = parse_policy(emit_policy(policy, ["a note\nof two lines"], ["a remark"]).encode(), "p")
    assert [str(u) for u in policy.untrack] == [str(u) for u in again.untrack]
    assert [u.family for u in policy.untrack] == [u.family for u in again.untrack]
    assert [u.peers for u in policy.untrack] == [u.peers for u in again.untrack]
    assert [u.keep_lo_tracked for u in policy.untrack] == [u.keep_lo_tracked for u in again.untrack]
    assert (policy.max, policy.buckets, policy.timeouts) == (again.max, again.buckets, again.timeouts)
    assert policy.own_addresses == again.own_addresses
