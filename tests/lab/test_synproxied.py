"""SYNPROXY's two handshakes in made-up rule sets, one client each: what `lab truth` does with packets whose numbers are
known beforehand, for the one whose number only the kernel's SYN/ACK tells.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.hooks import direction_of
from conntrim.lab.dialogue import format_packet, way_of
from conntrim.lab.entries import alike, dumped
from conntrim.lab.expect import KERNEL, expected, observed, ruleset_of
from conntrim.lab.generate import NFT_SYNPROXY, nft, xt
from conntrim.lab.oracle import Oracle, Sighting, Trace, consulting, story
from conntrim.lab.script import Block, Line, Script, Sheet
from conntrim.lab.wire import FIRST, Numbers, build

MADE = 50
"""Rule sets of each dialect and each value of nf_conntrack_tcp_loose."""

WAYS: dict[Family, tuple[tuple[str, str, str, str], ...]] = {
    Family.IPV4: (("203.0.113.9", "192.0.2.1", "eth0", ""), ("192.0.2.9", "198.51.100.7", "eth0", "eth1")),
    Family.IPV6: (("2001:db8:2::9", "2001:db8::1", "eth0", ""), ("2001:db8::9", "2001:db8:1::7", "eth0", "eth1")),
}
"""A client's packets to a server on the host, and behind it: source, destination, interfaces."""

UNTRACKED = {
    "xt": Line(("-p tcp -m tcp --dport 80 --syn",), "-j CT --notrack"),
    "nft": Line(("tcp dport 80", "tcp flags & (fin | syn | rst | ack) == syn"), "notrack"),
}
PROXIED = {
    "xt": Line(
        ("-p tcp -m tcp --dport 80", "-m conntrack --ctstate INVALID,UNTRACKED"),
        "-j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460",
    ),
    "nft": Line(("tcp dport 80", "ct state invalid,untracked"), NFT_SYNPROXY),
}
"""The recipe's two rules."""


def recipe(random: Random, dialect: str) -> Script:
    """A made-up rule set of a few rules with the recipe in it, above or below what was there."""
    made = (xt if dialect == "xt" else nft)(random)
    sheets = [replace(s, blocks=tuple(map(_short, s.blocks))) for s in made.sheets if s.name not in ("filter", "raw")]
    if dialect == "nft":
        hooks = (("raw", "prerouting", -300), ("near", "input", 0), ("through", "forward", 0))
        blocks = [
            Block(name, f"type filter hook {hook} priority {at}; policy accept;",
                  (UNTRACKED["nft"] if name == "raw" else _proxied(random, "nft"),))
            for name, hook, at in hooks
        ]  # fmt: skip
        own = Sheet("inet", "proxy", tuple(blocks))
        return replace(made, sheets=tuple((own, *sheets) if random.random() < 0.5 else (*sheets, own)))
    for family in ("ip", "ip6"):
        before = {block.name: block for s in made.sheets if s.family == family and s.name == "filter"
                  for block in s.blocks if block.name in ("OUTPUT", "INPUT", "FORWARD")}  # fmt: skip
        others = {
            name: tuple(line for line in block.lines if not line.effect.startswith(("-j USER", "-g USER")))[:2]
            for name, block in before.items()
        }
        blocks = [Block("OUTPUT", "ACCEPT", others.get("OUTPUT", ()))]
        for name in ("INPUT", "FORWARD"):
            lines = list(others.get(name, ()))
            lines.insert(random.choice((0, 0, len(lines))), _proxied(random, "xt"))
            blocks.append(Block(name, "ACCEPT", tuple(lines)))
        sheets += [
            Sheet(family, "raw", (Block("PREROUTING", "ACCEPT", (UNTRACKED["xt"],)),)),
            Sheet(family, "filter", tuple(blocks)),
        ]
    return replace(made, sheets=tuple(sheets))


def _proxied(random: Random, dialect: str) -> Line:
    """The proxy's rule, now and then for packets of any state."""
    line = PROXIED[dialect]
    return replace(line, matches=line.matches[:1]) if random.random() < 0.3 else line


def _short(block: Block) -> Block:
    return replace(block, lines=block.lines[:2])


def cookie(oracle: Oracle) -> int | None:
    """The number of the last SYN/ACK that left by a device."""
    found = None
    for descriptor in oracle.tuns.values():
        os.set_blocking(descriptor, False)
        try:
            while True:
                data = os.read(descriptor, 2048)
                tcp = data[20:] if data[0] >> 4 == 4 else data[40:]
                if tcp[13] & 0x3F == TcpFlag.SYN | TcpFlag.ACK:
                    found = int.from_bytes(tcp[4:8], "big")
        except BlockingIOError:
            pass
    return found


def handshakes(oracle: Oracle, syn: Packet) -> tuple[tuple[Trace, ...], bool]:
    """The SYN, and the ACK that answers what the kernel says to it; whether it said something."""
    cookie(oracle)
    (first,) = oracle.fire([(way_of(syn), build(syn, Numbers(1, FIRST)))])
    number = cookie(oracle)
    ack = build(replace(syn, tcp_flags=int(TcpFlag.ACK)), Numbers(1, FIRST + 1, (number or 0) + 1 & 0xFFFFFFFF))
    (second,) = oracle.fire([(way_of(syn), ack)])
    return (first, second), number is not None


@pytest.mark.parametrize("loose", [0, 1])
@pytest.mark.parametrize("dialect", ["xt", "nft"])
def test_both_handshakes_in_made_up_rule_sets(dialect: str, loose: int) -> None:
    """K115, K121: the kernel's SYN/ACK to the client, its SYN to the server after the ACK, and all entries are those of
    the model; servers on the host and behind it are asked."""
    kernel, counted, wrong = replace(KERNEL, tcp_loose=bool(loose)), Counter[str](), list[str]()
    with consulting("proxied") as oracle:
        oracle.host.sysctl("net.netfilter.nf_conntrack_tcp_loose", loose)
        for index in range(MADE):
            random = Random(f"{dialect}:{index}")
            script, family = recipe(random, dialect), random.choice(tuple(Family))
            src, dst, iif, oif = random.choice(WAYS[family])
            syn = Packet(family, Protocol.TCP, parse_address(src), parse_address(dst), 40000 + index, 80,
                         int(TcpFlag.SYN), iif=iif, oif=oif)  # fmt: skip
            oracle.load(script.batches())
            listing = oracle.listing() if script.program == "nft" else ""
            model = observed(ruleset_of(script.batches(), listing))
            traces, answered = handshakes(oracle, syn)
            entries = sorted(dumped(oracle.host.name))
            oracle.unload()
            oracle.forget()
            talk = (syn, replace(syn, tcp_flags=int(TcpFlag.ACK)))
            believed = expected(model, talk, kernel, earned=answered)
            asked = len(believed.traces) == 2 and Sighting(Hook.OUTPUT, CtState.NEW, answer=True) in traces[1]
            counted.update({"decided": len(believed.traces), f"{direction_of(syn)}": asked})
            same = believed.traces == traces[: len(believed.traces)]
            if not same or not (believed.entries is None or alike(believed.entries, entries)):
                said = [story(t) for t in traces], [story(t) for t in believed.traces], list(map(str, entries))
                texts = "\n".join(batch.text for batch in script.batches() if batch.program != "ipset")
                wrong.append(f"{index} {format_packet(syn)}\n{said}\n{believed.entries}\n{texts}")
    assert not wrong, "\n\n".join(wrong)
    assert counted["decided"] > MADE * 1.7
    assert min(counted["inbound"], counted["forwarded"]) >= 1
