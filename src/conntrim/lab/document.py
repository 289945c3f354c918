"""The rule sets of the source document, as iptables-restore reads them: its firewall and its four attempts at NOTRACK.

The document shows the raw rules and the one filter line that had to change; the rest of the filter is the stock
`RH-Firewall-1-INPUT` of the distribution of its day, with the services of its two hosts.
"""

from __future__ import annotations

from collections.abc import Sequence

TRACKED = "ESTABLISHED,RELATED"
WITH_UNTRACKED = "ESTABLISHED,RELATED,UNTRACKED"


def firewall(ports: Sequence[int], states: str = TRACKED) -> str:
    """The filter table: who is known goes on, new connections to `ports`, everything else is rejected."""
    chain = "RH-Firewall-1-INPUT"
    opened = [f"-A {chain} -m state --state NEW -m tcp -p tcp --dport {port} -j ACCEPT" for port in ports]
    return "\n".join(
        [
            "*filter",
            ":INPUT ACCEPT [0:0]",
            ":FORWARD ACCEPT [0:0]",
            ":OUTPUT ACCEPT [0:0]",
            f":{chain} - [0:0]",
            f"-A INPUT -j {chain}",
            f"-A FORWARD -j {chain}",
            f"-A {chain} -i lo -j ACCEPT",
            f"-A {chain} -p icmp --icmp-type any -j ACCEPT",
            f"-A {chain} -m state --state {states} -j ACCEPT",
            *opened,
            f"-A {chain} -j REJECT --reject-with icmp-host-prohibited",
            "COMMIT\n",
        ]
    )


def raw(*rules: str) -> str:
    """A raw table of NOTRACK rules, each given as `CHAIN MATCHES`."""
    lines = [f"-A {rule} -j NOTRACK" for rule in rules]
    return "\n".join(["*raw", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *lines, "COMMIT\n"])


WEB_PORTS = (22, 80)
CACHE_PORTS = (22, 11211)

FIRST = raw(
    "PREROUTING -p tcp -m tcp --dport 80",
    "PREROUTING -p tcp -m tcp --dport 10240:65000",
    "OUTPUT -p tcp -m tcp --sport 80",
    "OUTPUT -p tcp -m tcp --sport 10240:65000",
)
"""The web host's first rules: they work, and the range opens those ports."""

USELESS = raw("PREROUTING -p tcp -m tcp --dport 11211", "OUTPUT -p tcp -m tcp --sport 11211")
"""The cache host's rules put on the web host: no packet there looks like that."""

ONE_SIDED = raw("OUTPUT -p tcp -m tcp --dport 11211")
"""Requests to the cache untracked, their answers not (K15)."""

FINAL = raw(
    "PREROUTING -p tcp -m tcp --dport 80",
    "PREROUTING -p tcp -m tcp --sport 11211",
    "OUTPUT -p tcp -m tcp --sport 80",
    "OUTPUT -p tcp -m tcp --dport 11211",
)
"""The rules at the document's end: they work, and have the hole of K20."""
