"""Time-out policies of ctnetlink, made, listed and deleted by netlink messages of our own: nfct is on few hosts."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from conntrim.core.model.address import Family
from conntrim.core.model.ct_timeout import TimeoutPolicy
from conntrim.core.model.errors import HostError
from conntrim.core.model.protocol import Protocol
from conntrim.host.ct_messages import CREATE, NESTED, word
from conntrim.host.netlink import NLM_F_ACK, NLM_F_DUMP, Netlink, attribute, attributes

NETLINK_NETFILTER = 12
NEW, GET, DELETE = 8 << 8, (8 << 8) | 1, (8 << 8) | 2
"""IPCTNL_MSG_TIMEOUT_NEW, _GET and _DELETE of NFNL_SUBSYS_CTNETLINK_TIMEOUT."""
NAME, L3PROTO, L4PROTO, DATA = 1, 2, 3, 4
"""CTA_TIMEOUT_*."""
FAMILIES = {2: Family.IPV4, 10: Family.IPV6}
"""AF_INET and AF_INET6."""
STATES: dict[int, tuple[str, ...]] = {
    Protocol.TCP: (
        "syn_sent", "syn_recv", "established", "fin_wait", "close_wait", "last_ack", "time_wait", "close", "syn_sent2",
        "retrans", "unacknowledged",
    ),
    Protocol.UDP: ("unreplied", "replied"),
}  # fmt: skip
"""CTA_TIMEOUT_TCP_* and CTA_TIMEOUT_UDP_*, from 1 on, by nfct's names."""
NEEDED = "time-outs of services need nft, or iptables with nfnetlink_cttimeout and nf_conntrack_timeout"


class CtTimeouts:
    """Those of the namespace `netns`; None: ours. Everything raises HostError with the kernel's word."""

    def __init__(self, netns: str | None) -> None:
        self.netns = netns

    def listed(self) -> tuple[TimeoutPolicy, ...]:
        """All that are there."""
        with self._link("listing time-out policies") as link:
            link.send(GET, NLM_F_DUMP, bytes(4))
            return tuple(found for _, payload in link.answers() if (found := _policy(payload[4:])))

    def done(self, policies: Sequence[TimeoutPolicy]) -> None:
        """Make, or delete, each; where one fails, those that were made before it go again."""
        made: list[TimeoutPolicy] = []
        try:
            for each in policies:
                self._do(each)
                made += [each] if each.seconds else []
        except HostError:
            self.delete([each.name for each in made])
            raise

    def delete(self, names: Sequence[str]) -> None:
        """Entries that have a policy's time-outs have the host's at their next packet (K152)."""
        for name in names:
            self._do(TimeoutPolicy(name))

    def _do(self, policy: TimeoutPolicy) -> None:
        with self._link(f"{'making' if policy.seconds else 'deleting'} the time-out policy {policy.name}") as link:
            if policy.seconds:
                link.send(NEW, CREATE | NLM_F_ACK, bytes(4) + _packed(policy))
            else:
                link.send(DELETE, NLM_F_ACK, bytes(4) + attribute(NAME, policy.name.encode() + b"\0"))
            tuple(link.answers())

    def _link(self, what: str) -> Netlink:
        return Netlink(NETLINK_NETFILTER, what, self.netns)


def _packed(policy: TimeoutPolicy) -> bytes:
    family = next(number for number, each in FAMILIES.items() if each is policy.family)
    states = STATES[policy.protocol]
    data = b"".join(word(states.index(state) + 1, seconds) for state, seconds in policy.seconds)
    return (
        attribute(NAME, policy.name.encode() + b"\0")
        + attribute(L3PROTO, struct.pack(">H", family))
        + attribute(L4PROTO, bytes([policy.protocol]))
        + attribute(DATA | NESTED, data)
    )


def _policy(payload: bytes) -> TimeoutPolicy | None:
    """One that is listed; None for a protocol or family of which a plan makes none."""
    found = attributes(payload)
    family, protocol = FAMILIES.get(struct.unpack(">H", found[L3PROTO][:2])[0]), found[L4PROTO][0]
    if family is None or protocol not in STATES:
        return None
    data = attributes(found[DATA])
    told = [(state, data[n]) for n, state in enumerate(STATES[protocol], 1) if n in data]
    seconds = tuple(sorted((state, struct.unpack(">I", value[:4])[0]) for state, value in told))
    return TimeoutPolicy(found[NAME].rstrip(b"\0").decode("ascii", "replace"), family, protocol, seconds)
