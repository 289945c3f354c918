"""What REJECT answers with, and which program in user space NFQUEUE asks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Answered(StrEnum):
    """The kinds of REJECT's answers, by nft's names."""

    RESET = "tcp reset"
    ICMP = "icmp"
    ICMPV6 = "icmpv6"
    ICMPX = "icmpx"
    """An ICMP error of the packet's own family."""


@dataclass(frozen=True, slots=True)
class Reject:
    """An answer and its code: of ICMP's type 3, of ICMPv6's type 1, or nft's own number of an `icmpx`."""

    kind: Answered
    code: int = 0


RESET = Reject(Answered.RESET)

XT_REJECTS: dict[str, Reject] = {
    "icmp-net-unreachable": Reject(Answered.ICMP, 0), "icmp-host-unreachable": Reject(Answered.ICMP, 1),
    "icmp-proto-unreachable": Reject(Answered.ICMP, 2), "icmp-port-unreachable": Reject(Answered.ICMP, 3),
    "icmp-net-prohibited": Reject(Answered.ICMP, 9), "icmp-host-prohibited": Reject(Answered.ICMP, 10),
    "icmp-admin-prohibited": Reject(Answered.ICMP, 13), "tcp-reset": RESET,
}  # fmt: skip
"""iptables' names of answers."""

XT_REJECTS6: dict[str, Reject] = {
    "icmp6-no-route": Reject(Answered.ICMPV6, 0), "icmp6-adm-prohibited": Reject(Answered.ICMPV6, 1),
    "icmp6-addr-unreachable": Reject(Answered.ICMPV6, 3), "icmp6-port-unreachable": Reject(Answered.ICMPV6, 4),
    "icmp6-policy-fail": Reject(Answered.ICMPV6, 5), "icmp6-reject-route": Reject(Answered.ICMPV6, 6),
    "tcp-reset": RESET,
}  # fmt: skip
"""ip6tables' names of answers."""

CODES: dict[Answered, dict[str, int]] = {
    Answered.RESET: {},
    Answered.ICMP: {
        "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
        "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
    },
    Answered.ICMPV6: {
        "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
        "reject-route": 6,
    },
    Answered.ICMPX: {"no-route": 0, "port-unreachable": 1, "host-unreachable": 2, "admin-prohibited": 3},
}  # fmt: skip
"""nft's names of the codes; those of `icmpx` are linux/netfilter/nf_tables.h's."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The queues that packets are spread over, first and last; `bypass`: where no program listens they are accepted.

    `unread` are the words of a number that the model does not know: nft computes it from the packet.
    """

    first: int = 0
    last: int = 0
    bypass: bool = False
    fanout: bool = False
    unread: str = ""
