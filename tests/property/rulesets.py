"""Random rule sets as iptables-save prints them, and random packets that their rules tell apart."""

from __future__ import annotations

from hypothesis import strategies as st

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Direction

PORTS = (22, 80, 443, 11211, 40000)
ADDRESSES = ("192.0.2.1", "192.0.2.77", "198.51.100.7", "203.0.113.9", "10.0.0.5")
NETS = ("192.0.2.0/24", "198.51.100.7/32", "10.0.0.0/8", "0.0.0.0/0")
FLAGS = (2, 16, 18, 17, 4, 0, 24, 41)
STATES = ("NEW", "ESTABLISHED", "RELATED,ESTABLISHED", "INVALID", "UNTRACKED", "NEW,UNTRACKED")
CHAINS = ("one", "two")

_not = st.sampled_from(("", "", "", "! "))


def _match() -> st.SearchStrategy[str]:
    port = st.sampled_from((*map(str, PORTS), "1024:65535", "80:443"))
    return st.one_of(
        st.builds("{}-s {}".format, _not, st.sampled_from(NETS)),
        st.builds("{}-d {}".format, _not, st.sampled_from(NETS)),
        st.builds("-p tcp -m tcp {}--dport {}".format, _not, port),
        st.builds("-p tcp -m tcp {}--sport {}".format, _not, port),
        st.builds("-p udp -m udp --dport {}".format, port),
        st.builds("-p tcp -m tcp {}--syn".format, _not),
        st.builds("-p icmp -m icmp --icmp-type {}".format, st.sampled_from((0, 3, 8))),
        st.builds("-m addrtype --dst-type {}".format, st.sampled_from(("LOCAL", "UNICAST", "MULTICAST"))),
        st.builds("-m mark {}--mark {}".format, _not, st.sampled_from(("0x1", "0x2/0x3", "0"))),
    )


def _late() -> st.SearchStrategy[str]:
    return st.one_of(
        _match(),
        st.builds("-m conntrack {}--ctstate {}".format, _not, st.sampled_from(STATES)),
        st.builds("-m state --state {}".format, st.sampled_from(STATES)),
    )


def _rule(chain: str, matches: st.SearchStrategy[str], targets: tuple[str, ...]) -> st.SearchStrategy[str]:
    # A second `-p` in one rule is no rule: only the first match that names a protocol is kept.
    some = st.lists(matches, max_size=3, unique_by=lambda m: m.split()[0] if m.startswith("-p") else m.split()[-2])
    return st.builds(lambda m, t: f"-A {chain} {' '.join([*m, '-j', t])}", some.filter(_one_protocol),
                     st.sampled_from(targets))  # fmt: skip


def _one_protocol(parts: list[str]) -> bool:
    return sum(p.startswith("-p") for p in parts) <= 1 and len({p.replace("! ", "").split()[0] for p in parts
                                                               if not p.startswith(("-p", "-m"))}) == len(
        [p for p in parts if not p.startswith(("-p", "-m"))])  # fmt: skip


RAW_TARGETS = ("NOTRACK", "CT --notrack", "NOTRACK", "ACCEPT", "DROP", "CT --zone 3", "MARK --set-xmark 0x1/0xffffffff")
TARGETS = ("ACCEPT", "ACCEPT", "DROP", "REJECT", "one", "two", "RETURN", "MARK --set-xmark 0x2/0x3")


@st.composite
def saves(draw: st.DrawFn) -> str:
    """A raw and a filter table."""
    raw = [draw(_rule(c, _match(), RAW_TARGETS)) for c in draw(st.lists(st.sampled_from(("PREROUTING", "OUTPUT")),
                                                                        max_size=4))]  # fmt: skip
    inner = [draw(_rule(c, _late(), ("ACCEPT", "DROP", "RETURN"))) for c in draw(st.lists(st.sampled_from(CHAINS),
                                                                                         max_size=4))]  # fmt: skip
    outer = [draw(_rule(c, _late(), tuple(t for t in TARGETS if not t.startswith("MARK")))) for c in
             draw(st.lists(st.sampled_from(("INPUT", "FORWARD", "OUTPUT")), min_size=1, max_size=7))]  # fmt: skip
    policies = [draw(st.sampled_from(("ACCEPT", "DROP"))) for _ in range(3)]
    hooks = zip(("INPUT", "FORWARD", "OUTPUT"), policies, strict=True)
    return "\n".join([
        "*raw", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *raw, "COMMIT", "*filter",
        *(f":{hook} {policy} [0:0]" for hook, policy in hooks), *(f":{c} - [0:0]" for c in CHAINS), *inner, *outer,
        "COMMIT", "",
    ])  # fmt: skip


WAYS = {Direction.INBOUND: ("eth0", ""), Direction.OUTBOUND: ("", "eth1"), Direction.FORWARDED: ("eth0", "eth1")}


@st.composite
def packets(draw: st.DrawFn, direction: Direction) -> Packet:
    """A packet of one direction, of any protocol that the rules name."""
    protocol = draw(st.sampled_from((Protocol.TCP, Protocol.TCP, Protocol.UDP, Protocol.ICMP, 47)))
    ports = protocol in (Protocol.TCP, Protocol.UDP)
    iif, oif = WAYS[direction]
    src, dst = (parse_address(draw(st.sampled_from(ADDRESSES))) for _ in range(2))
    sport, dport = (draw(st.sampled_from(PORTS)) if ports else None for _ in range(2))
    flags = draw(st.sampled_from(FLAGS)) if protocol == Protocol.TCP else None
    icmp = draw(st.sampled_from((0, 8, 3, 5, 13))) << 8 if protocol == Protocol.ICMP else None
    return Packet(Family.IPV4, int(protocol), src, dst, sport, dport, flags, icmp, iif, oif)
