"""Peer-to-peer: one program talks from one port to hundreds of addresses.

What it says:
    One client uses the same UDP port towards at least fifty addresses and
    thirty ports: BitTorrent's DHT, or another network of that kind.

Why it matters:
    Each peer is an entry. A DHT asks thousands of nodes, most of which never
    answer; behind NAT it is the commonest reason why a home or office
    gateway's table is full.

What to do:
    Bound the client: in its program (connections, DHT off), or by a limit on
    its new flows. Shorten nf_conntrack_udp_timeout_stream and
    nf_conntrack_udp_timeout.

Caveats:
    Games, VoIP and WebRTC use one port for several peers as well, but for
    few.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import number

CODE, NAME, HABIT = "CT037", "peer-to-peer", Habit.ODD

PEERS, PORTS, KNOWN = 50, 30, frozenset({53, 123, 161, 443, 500, 1194, 4500, 51_820})
"""Peers and their ports at least; ports from which servers answer everybody."""


TORRENT = frozenset({*range(6_881, 7_000), 51_413})
"""Ports that BitTorrent programs take: there the peers' ports need not differ."""

ALL = 0.97
"""Where more than that is in vain it may be no network of peers at all."""


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """All UDP of the port, either way, and the client's TCP to high ports."""
    asked = free & view.udp & view.unicast & ~view.inbound
    from_port = view.pairs(view.client, view.client_port)
    for top in view.tops(from_port, asked, 3):
        client, port = top.value >> 32, top.value & 0xFFFFFFFF
        theirs = asked & (from_port == top.value)
        if top.entries < PEERS or port in KNOWN or view.distinct(view.server, theirs) < PEERS:
            continue
        if view.distinct(view.port, theirs) < PORTS and port not in TORRENT:
            continue
        calls = (view.port == port) & ((view.server == client) | (view.inbound & (view.client_port != 53)))
        more = free & view.udp & calls
        high = free & view.tcp & (view.client == client) & (view.port >= 1024) & (view.client_port >= 1024)
        if view.distinct(view.server, high) >= PEERS:
            more |= high
        return _claim(Cures(case, view, theirs | more), view, theirs | more, (client, port))
    return None


def _claim(cures: Cures, view: View, theirs: Mask, end: tuple[int, int]) -> Claim:
    client, port = end
    name, unanswered = view.name(client), theirs & ~view.replied
    peers, ports = view.distinct(view.server, theirs), view.distinct(view.port, theirs)
    here = bool(view.outbound[theirs & (view.client == client)].any())
    off = cures.repair("DHT off, fewer peers, in the program")
    limits = (off,) if here else cures.limit(client, tcp=False)
    return Claim(
        theirs,
        f"peer-to-peer (DHT) of {name}, {view.percent(unanswered, theirs)} unanswered",
        (
            f"{view.count(theirs)} entries of one host, {name}, from udp/{port}",
            f"to {number(peers)} addresses and {number(ports)} ports",
            f"{view.count(unanswered)} of {view.count(theirs)} unanswered",
        ),
        ("nobody answers at all: a scan, or a firewall that drops the answers, looks alike",)
        if view.share(unanswered, theirs) > ALL
        else (),
        (
            *limits,
            cures.delete(f"{name} from udp/{port}", "-p", "udp", "-s", name, "--sport", str(port)),
            cures.timeout("nf_conntrack_udp_timeout_stream", 60),
            cures.timeout("nf_conntrack_udp_timeout", 10),
        ),
        (name,),
    )
