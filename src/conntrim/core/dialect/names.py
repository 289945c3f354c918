"""Names that the dialects accept for numbers: ICMP types, DSCP classes, services, states; what is a name to them."""

from __future__ import annotations

import re

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field, TcpFlag

ANY_ICMP = -1
"""The ICMP type `any`: every type."""

ICMP_TYPES: dict[str, tuple[int, int | None]] = {
    "any": (ANY_ICMP, None), "echo-reply": (0, None), "pong": (0, None), "destination-unreachable": (3, None),
    "network-unreachable": (3, 0), "host-unreachable": (3, 1), "protocol-unreachable": (3, 2),
    "port-unreachable": (3, 3), "fragmentation-needed": (3, 4), "source-route-failed": (3, 5),
    "network-unknown": (3, 6), "host-unknown": (3, 7), "network-prohibited": (3, 9), "host-prohibited": (3, 10),
    "TOS-network-unreachable": (3, 11), "TOS-host-unreachable": (3, 12), "communication-prohibited": (3, 13),
    "host-precedence-violation": (3, 14), "precedence-cutoff": (3, 15), "source-quench": (4, None),
    "redirect": (5, None), "network-redirect": (5, 0), "host-redirect": (5, 1), "TOS-network-redirect": (5, 2),
    "TOS-host-redirect": (5, 3), "echo-request": (8, None), "ping": (8, None), "router-advertisement": (9, None),
    "router-solicitation": (10, None), "time-exceeded": (11, None), "ttl-exceeded": (11, None),
    "ttl-zero-during-transit": (11, 0), "ttl-zero-during-reassembly": (11, 1), "parameter-problem": (12, None),
    "ip-header-bad": (12, 0), "required-option-missing": (12, 1), "timestamp-request": (13, None),
    "timestamp-reply": (14, None), "address-mask-request": (17, None), "address-mask-reply": (18, None),
}  # fmt: skip
"""ICMP type name to type and code; None: every code."""

ICMPV6_TYPES: dict[str, tuple[int, int | None]] = {
    "destination-unreachable": (1, None), "no-route": (1, 0), "communication-prohibited": (1, 1),
    "beyond-scope": (1, 2), "address-unreachable": (1, 3), "port-unreachable": (1, 4), "failed-policy": (1, 5),
    "reject-route": (1, 6), "packet-too-big": (2, None), "time-exceeded": (3, None), "ttl-exceeded": (3, None),
    "ttl-zero-during-transit": (3, 0), "ttl-zero-during-reassembly": (3, 1), "parameter-problem": (4, None),
    "bad-header": (4, 0), "unknown-header-type": (4, 1), "unknown-option": (4, 2), "echo-request": (128, None),
    "ping": (128, None), "echo-reply": (129, None), "pong": (129, None), "mld-listener-query": (130, None),
    "mld-listener-report": (131, None), "mld-listener-done": (132, None), "mld-listener-reduction": (132, None),
    "router-solicitation": (133, None), "router-advertisement": (134, None), "neighbour-solicitation": (135, None),
    "neighbor-solicitation": (135, None), "neighbour-advertisement": (136, None),
    "neighbor-advertisement": (136, None), "redirect": (137, None),
}  # fmt: skip
"""ICMPv6 type name to type and code; None: every code."""

TYPES: dict[Field, dict[str, tuple[int, int | None]]] = {Field.ICMP: ICMP_TYPES, Field.ICMPV6: ICMPV6_TYPES}
"""The names of each family's ICMP types."""

STATES: dict[str, CtState] = {state.name: state for state in CtState}
"""`--ctstate` names, SNAT and DNAT aside."""

FLAGS: dict[str, int] = {flag.name: int(flag) for flag in TcpFlag if flag < TcpFlag.ECE} | {"ALL": 63, "NONE": 0}
"""`--tcp-flags` names to bits of the flags byte; iptables knows no ECE and CWR here."""

PACKET_TYPES: dict[str, int] = {"unicast": 0, "host": 0, "broadcast": 1, "multicast": 2}
"""`--pkt-type` names to numbers of linux/if_packet.h."""

DSCP_CLASSES: dict[str, int] = {
    "BE": 0, "DF": 0, "LE": 1, "EF": 46, "VA": 44, **{f"CS{n}": 8 * n for n in range(8)},
    **{f"AF{c}{d}": 8 * c + 2 * d for c in range(1, 5) for d in range(1, 4)},
}  # fmt: skip
"""DiffServ class to DSCP (RFC 2474, 2597, 3246, 5865, 8622)."""

SERVICES: dict[str, int] = {
    "ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "time": 37, "domain": 53, "bootps": 67,
    "bootpc": 68, "tftp": 69, "gopher": 70, "finger": 79, "http": 80, "www": 80, "kerberos": 88, "pop3": 110,
    "sunrpc": 111, "auth": 113, "ident": 113, "nntp": 119, "ntp": 123, "epmap": 135, "netbios-ns": 137,
    "netbios-dgm": 138, "netbios-ssn": 139, "imap2": 143, "imap": 143, "snmp": 161, "snmp-trap": 162, "bgp": 179,
    "irc": 194, "ldap": 389, "https": 443, "microsoft-ds": 445, "submissions": 465, "ssmtp": 465, "isakmp": 500,
    "syslog": 514, "printer": 515, "route": 520, "submission": 587, "ipp": 631, "ldaps": 636, "domain-s": 853,
    "rsync": 873, "ftps-data": 989, "ftps": 990, "imaps": 993, "pop3s": 995, "socks": 1080, "openvpn": 1194,
    "ms-sql-s": 1433, "l2f": 1701, "pptp": 1723, "radius": 1812, "radius-acct": 1813, "nfs": 2049, "squid": 3128,
    "mysql": 3306, "ms-wbt-server": 3389, "svn": 3690, "ipsec-nat-t": 4500, "sip": 5060, "sips": 5061,
    "xmpp-client": 5222, "mdns": 5353, "postgresql": 5432, "vnc": 5900, "x11": 6000, "redis": 6379, "ircd": 6667,
    "http-alt": 8080, "webcache": 8080, "memcached": 11211, "memcache": 11211,
}  # fmt: skip
"""Service names of ports (IANA); saves carry numbers, only hand-written files carry names."""

NFT_ICMP_TYPES: dict[str, int] = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
    "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
    "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
    "address-mask-request": 17, "address-mask-reply": 18,
}  # fmt: skip

NFT_ICMP_CODES: dict[str, int] = {
    "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3,
    "frag-needed": 4, "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
}  # fmt: skip

NFT_ICMPV6_TYPES: dict[str, int] = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
    "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
    "mld-listener-done": 132, "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
    "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138,
    "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142, "mld2-listener-report": 143,
}  # fmt: skip

NFT_ICMPV6_CODES: dict[str, int] = {
    "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
    "reject-route": 6,
}  # fmt: skip
"""nft's names of ICMP types and codes."""

_NFT_NAME = re.compile(r"[A-Za-z][\w./-]*", re.ASCII)
_XT_NAME = re.compile(r"[!#-&(-,.-~][!#-&(-~]*")


def is_name(text: str, *, nft: bool) -> bool:
    """Whether nft or iptables-restore reads it as a name: no blank, quote or sign in front that means something."""
    return (_NFT_NAME if nft else _XT_NAME).fullmatch(text) is not None
