"""`-m physdev` of a packet whose ports were given: what explain says is what the kernel counts."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.asks import BridgePorts
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import OpaqueMatch
from conntrim.core.netfilter.bridge_ports import physdev
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.skb import Answers, Skb
from conntrim.core.parse.ruleset import read
from conntrim.lab.netns import PREFIX, LabHost, bridged

MATCHES = (
    "--physdev-in left", "! --physdev-in left", "--physdev-in ri+", "--physdev-is-in", "--physdev-is-bridged",
    "! --physdev-is-bridged", "--physdev-out right", "--physdev-out left", "! --physdev-out left",
    "--physdev-is-out", "! --physdev-is-out", "--physdev-in left --physdev-out right",
    "--physdev-in left ! --physdev-out r+", "! --physdev-is-in",
)  # fmt: skip
FROM_PORT = {"FORWARD": "br0", "INPUT": "", "PREROUTING": ""}
"""The outgoing interface that a rule of the chain sees."""


def asks(match: str) -> BridgePorts:
    """What a rule with this match asks."""
    (table,) = read(f"*filter\n-A FORWARD -m physdev {match}\nCOMMIT\n", "rules").tables
    (rule,) = table.rules()
    (found,) = (m for m in rule.matches if isinstance(m, OpaqueMatch))
    assert isinstance(found.asks, BridgePorts)
    return found.asks


@pytest.mark.parametrize("chain", FROM_PORT)
def test_the_kernel_counts_what_is_told(chain: str) -> None:
    """A packet between two ports, and one to the bridge's own address: each match holds where its rule counts."""
    with bridged(["left=1", "right=2"], "10.99.7") as hosts:
        switch = LabHost(hosts["left"].name.replace("left", "switch"))
        assert switch.name.startswith(PREFIX)
        switch.sysctl("net.bridge.bridge-nf-call-iptables", 1)
        switch.run("ip", "address", "add", "10.99.7.9/24", "dev", "br0")
        table = "mangle"
        rules = "".join(f"-A {chain} -p udp --dport 4789 -m physdev {match}\n" for match in MATCHES)
        switch.run("iptables-restore", text=f"*{table}\n{rules}COMMIT\n")
        to = "10.99.7.9" if chain == "INPUT" else "10.99.7.2"
        hosts["left"].run("bash", "-c", f"echo x > /dev/udp/{to}/4789")
        listed = [line for line in switch.run("iptables-save", "-c", "-t", table).splitlines() if "physdev" in line]
        counted = [found[1] != "0" for line in listed if (found := re.match(r"\[(\d+):", line))]
    packet = Packet(Family.IPV4, Protocol.UDP, parse_address("10.99.7.1"), parse_address(to), 4000, 4789)
    ports = replace(packet, iif="br0", bridge_in="left", bridge_out="" if chain == "INPUT" else "right")
    skb = Skb(ports, Kernel(), Answers({}), iif="br0", oif=FROM_PORT[chain])
    assert counted == [physdev(asks(match), skb) for match in MATCHES]
