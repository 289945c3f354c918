"""The entries of a namespace's table one by one, with all that the model claims of them: as the kernel dumps them, and
as the evaluator remembers them. Both come out as the same lines of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from conntrim.core.model.address import MAPPED, format_address
from conntrim.core.model.conntrack import Status, TcpState
from conntrim.core.model.protocol import WITH_PORTS, Protocol, protocol_name
from conntrim.core.netfilter.memory import ANY_PORT, Entry, Tuple
from conntrim.host.netlink import NLM_F_DUMP, Netlink, attributes

NETLINK_NETFILTER, CT_GET = 12, 1 << 8 | 1
ALL_FAMILIES = b"\0\0\0\0"
"""`struct nfgenmsg`: AF_UNSPEC."""


class Kept(NamedTuple):
    """One entry. `state` is a `TcpState`, -1 for other protocols; `assured` None where time decides (UDP streams)."""

    original: Tuple
    reply: Tuple
    zones: tuple[int, int] = (0, 0)
    mark: int = 0
    helper: str = ""
    state: int = -1
    replied: bool = False
    assured: bool | None = False
    snat: bool = False
    dnat: bool = False

    @property
    def picked(self) -> bool:
        """Whether the kernel picked the port that answers go to."""
        return self.snat and self.original.protocol in WITH_PORTS and self.reply.dport == ANY_PORT

    def blurred(self) -> Kept:
        """The same without the port that answers go to."""
        return self._replace(reply=self.reply._replace(dport=ANY_PORT))

    def __str__(self) -> str:
        """`tcp 192.0.2.9 4000 > 192.0.2.1 80, back 192.0.2.1 80 > 192.0.2.9 4000, syn_sent, unreplied`."""
        words = [
            f"{protocol_name(self.original.protocol)} {_way(self.original)}",
            f"back {_way(self.reply, self.picked)}",
        ]
        words += [TcpState(self.state).name.lower()] if self.state >= 0 else []
        words += [f"zones {self.zones[0]}/{self.zones[1]}"] if any(self.zones) else []
        words += [f"mark {self.mark:#x}"] if self.mark else []
        words += [f"helper {self.helper}"] if self.helper else []
        words += [name for name, there in (("snat", self.snat), ("dnat", self.dnat)) if there]
        return ", ".join([*words, "assured" if self.assured else "replied" if self.replied else "unreplied"])


def alike(believed: Sequence[Kept], found: Sequence[Kept]) -> bool:
    """Whether the entries are those that the model believes in, a port that the kernel picked aside."""
    left = list(found)
    for one in believed:
        same = next((other for other in left if one == (other.blurred() if one.picked else other)), None)
        if same is None:
            return False
        left.remove(same)
    return not left


def listed(believed: Sequence[Kept], found: Sequence[Kept]) -> tuple[str, ...]:
    """The entries that were found as text; a port that the kernel picked is another one each time, so `any`."""
    picked = {one for one in believed if one.picked}
    return tuple(sorted(str(one.blurred() if one.blurred() in picked else one) for one in found))


def _way(tuple_: Tuple, any_port: bool = False) -> str:
    to = "any" if any_port else tuple_.dport
    return f"{format_address(tuple_.src)} {tuple_.sport} > {format_address(tuple_.dst)} {to}"


def remembered(entry: Entry) -> Kept:
    """What the model claims of an entry: nothing of being ASSURED where two seconds make the difference."""
    protocol = entry.original.protocol
    state = int(entry.tcp) if protocol == Protocol.TCP else -1
    assured = _assured(protocol, entry.seen_reply, entry.assured)
    return Kept(
        entry.original, entry.reply, (entry.zone.of("original"), entry.zone.of("reply")), entry.mark, entry.helper,
        state, entry.seen_reply, assured, entry.snat, entry.dnat,
    )  # fmt: skip


TIMED = frozenset({Protocol.UDP, Protocol.UDPLITE, Protocol.SCTP})
"""Protocols whose entries become ASSURED by time or by what the model does not follow."""


def _assured(protocol: int, replied: bool, assured: bool) -> bool | None:
    return None if protocol in TIMED and replied else assured


def dumped(netns: str) -> list[Kept]:
    """All entries of a namespace; HostError where the kernel refuses."""
    with Netlink(NETLINK_NETFILTER, "reading the conntrack table", netns) as link:
        link.send(CT_GET, NLM_F_DUMP, ALL_FAMILIES)
        return [kept_of(payload) for _, payload in link.answers()]


ORIG, REPLY, STATUS, PROTOINFO, HELP, MARK, ZONE = 1, 2, 3, 4, 5, 8, 18
"""`enum ctattr_type` of linux/netfilter/nfnetlink_conntrack.h."""


def kept_of(payload: bytes) -> Kept:
    """The entry of one ctnetlink message, which begins with its `struct nfgenmsg`."""
    of = attributes(payload[4:])
    (original, original_zone), (reply, reply_zone) = _tuple(of[ORIG]), _tuple(of[REPLY])
    status, zone = Status(_number(of[STATUS])), _number(of.get(ZONE, b""))
    state = attributes(attributes(of[PROTOINFO])[1])[1][0] if original.protocol == Protocol.TCP else -1
    replied = bool(status & Status.SEEN_REPLY)
    return Kept(
        original, reply, (original_zone or zone, reply_zone or zone), _number(of.get(MARK, b"")),
        attributes(of[HELP])[1].rstrip(b"\0").decode() if HELP in of else "", state, replied,
        _assured(original.protocol, replied, bool(status & Status.ASSURED)),
        bool(status & Status.SRC_NAT), bool(status & Status.DST_NAT),
    )  # fmt: skip


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _tuple(data: bytes) -> tuple[Tuple, int]:
    """CTA_TUPLE_ORIG or CTA_TUPLE_REPLY; a zone stands there where it holds for this direction only."""
    parts = attributes(data)
    ip, proto = attributes(parts[1]), attributes(parts[2])
    src, dst = (MAPPED | _number(ip[1]), MAPPED | _number(ip[2])) if 1 in ip else (_number(ip[3]), _number(ip[4]))
    number, zone = proto[1][0], _number(parts.get(3, b""))
    for identifier, kind, code in ((4, 5, 6), (7, 8, 9)):  # ICMP, ICMPv6
        if identifier in proto:
            return Tuple(number, src, dst, _number(proto[identifier]), proto[kind][0] << 8 | proto[code][0]), zone
    return Tuple(number, src, dst, _number(proto.get(2, b"")), _number(proto.get(3, b""))), zone
