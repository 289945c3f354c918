"""Two evaluators, one meaning: sets of packets and single ones, on the lab's rule sets and on those of other people."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from random import Random

import pytest

from conntrim.core.model.address import MAPPED, Family
from conntrim.core.model.errors import InputError
from conntrim.core.model.fields import Field
from conntrim.core.model.packet import Packet
from conntrim.core.model.policy import ADDRESSES
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.ruleset import In, Interface, Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import FAMILIES, arrange
from conntrim.core.netfilter.outcome import Fate
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.cube_cover import contains
from conntrim.core.prove.diagram import deciding
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.names import Names
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.reachability import packets_of, reach
from conntrim.core.prove.states import settled, unsolicited
from conntrim.lab.expect import ruleset_of
from conntrim.lab.generate import xt
from conntrim.lab.talk import dialogues

EVERY = os.environ.get("CONNTRIM_CORPUS_WHOLE") == "1"
FILES, RULES = (10_000, 100_000) if EVERY else (16, 250)
"""Files of each dialect that are looked at, and the most rules that one may have."""
PACKETS = 30
"""Packets of each direction and family."""

WAYS = (Direction.INBOUND, Direction.FORWARDED, Direction.OUTBOUND)


def disagreements(ruleset: Ruleset, packets: dict[tuple[Family, Direction], list[Packet]]) -> tuple[list[str], int]:
    """The packets on which set and walk differ, and how many were decided; one that is sent elsewhere is not.

    Where a set leaves a question open that the walk can answer for a single packet, either answer will do.
    """
    arranged, wrong, decided = arrange(ruleset), list[str](), 0
    for (family, direction), mine in packets.items():
        with deciding():
            space = PacketVars(family, Names.of((ruleset,)))
            scope = packets_of(space, direction)
            way = reach(space, arranged, direction, scope)
            found = settled(space, way.arrived, unsolicited(MatchEncoder(space), way.untracked))
            stateless = space.sets.literals(*space.bits[Field.CT_STATE])
            aside = way.translated.exists(stateless)
            real = scope.exists(stateless)
            open_ = space.sets.literals(*space.free.values())
            perhaps, surely = found.exists(open_), ~((~found).exists(open_))
            for packet in mine:
                told = simulate(arranged, packet)
                if told.verdict is Fate.NOT_DECIDED or not contains(space, real & ~aside, packet):
                    continue
                decided += 1
                accepted = told.verdict is Fate.ACCEPT
                if not contains(space, perhaps if accepted else ~surely, packet):
                    wrong.append(f"{direction} {packet}: {told.verdict}")
    return wrong, decided


# --- the lab's rule sets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_both_agree_on_made_up_rules(seed: int) -> None:
    """On every match and target that the lab's generator knows, for packets of its dialogues, over IPv4 and IPv6."""
    random = Random(f"cross-check:{seed}")
    ruleset = ruleset_of(xt(random).batches())
    packets: dict[tuple[Family, Direction], list[Packet]] = {}
    for packet in chain.from_iterable(dialogues(random, 200)):
        if "lo" not in (packet.iif, packet.oif) and packet.inner is None:
            direction = Direction.FORWARDED if packet.iif and packet.oif else WAYS[not packet.iif and 2]
            packets.setdefault((packet.family, direction), []).append(packet)
    wrong, decided = disagreements(ruleset, packets)
    assert [] == wrong
    assert decided > 50


# --- other people's rule sets ---------------------------------------------------------------------------------------


def edges(ruleset: Ruleset, field: Field, low: int, high: int) -> list[int]:
    """The numbers where some rule changes its mind about a field, and their neighbours."""
    ins = (m for r in ruleset.rules() for m in r.matches if isinstance(m, In))
    ends = {n for m in ins if m.field is field for a, b in m.values.ranges[:4] for n in (a - 1, a, b, b + 1)}
    return sorted(n for n in ends if low <= n <= high) or [low]


def interfaces(ruleset: Ruleset) -> list[str]:
    """Some names that rules ask for, and one that none does."""
    names = {
        n.replace("*", "7") for r in ruleset.rules() for m in r.matches
        if isinstance(m, Interface) for n in m.names
    }  # fmt: skip
    return [*sorted(names - {"lo", ""}), "zz9"]


def made(random: Random, ruleset: Ruleset, family: Family, direction: Direction) -> Iterator[Packet]:
    """Packets at the edges of the rules' own ranges."""
    low, high = (MAPPED, MAPPED | 0xFFFFFFFF) if family is Family.IPV4 else (1 << 125, (1 << 126) - 1)
    sources, targets = edges(ruleset, Field.SRC, low, high), edges(ruleset, Field.DST, low, high)
    sports, dports = edges(ruleset, Field.SPORT, 0, 65535), edges(ruleset, Field.DPORT, 0, 65535)
    icmp = Field.ICMP if family is Family.IPV4 else Field.ICMPV6
    types = [*edges(ruleset, icmp, 0, 65535), 8 << 8, 128 << 8]
    names = interfaces(ruleset)
    number = Protocol.ICMP if family is Family.IPV4 else Protocol.ICMPV6
    for _ in range(PACKETS):
        protocol = random.choice((Protocol.TCP, Protocol.TCP, Protocol.UDP, number, 47))
        ported = protocol in WITH_PORTS
        yield Packet(
            family, int(protocol), random.choice(sources), random.choice(targets),
            random.choice(sports) if ported else None, random.choice(dports) if ported else None,
            random.choice((2, 16, 18, 17, 4, 0)) if protocol == Protocol.TCP else None,
            random.choice(types) if protocol == number else None,
            random.choice(names) if direction is not Direction.OUTBOUND else "",
            random.choice(names) if direction is not Direction.INBOUND else "",
            length=60, ttl=64, dscp=0,
        )  # fmt: skip


def files(corpus: Path) -> list[Path]:
    """Some of each dialect, spread evenly."""
    chosen = []
    for found in (sorted((corpus / "iptables").glob("*.save")), sorted((corpus / "nft").glob("*.json"))):
        step = max(1, len(found) // FILES)
        chosen += found[::step][:FILES]
    return chosen


def test_both_agree_on_strangers_rules(corpus: Path) -> None:
    """On rule sets that others wrote, for packets at the edges of their ranges."""
    looked, total, wrong = 0, 0, list[str]()
    for path in files(corpus):
        try:
            ruleset = read(path.read_bytes(), path.name)
        except InputError:
            continue
        if not 0 < sum(len(c.rules) for t in ruleset.tables for c in t.chains) <= RULES:
            continue
        random = Random(path.name)
        seen = {f for t in ruleset.tables for f in FAMILIES.get(t.family, ())}
        packets = {
            (family, way): list(made(random, ruleset, family, way))
            for family in Family if family in seen and ADDRESSES[family] for way in WAYS
        }  # fmt: skip
        found, decided = disagreements(ruleset, packets)
        wrong += [f"{path.name}: {line}" for line in found]
        looked, total = looked + 1, total + decided
    print(f"\n{looked} rule sets, {total} packets decided")
    assert [] == wrong
    assert looked >= 10
    assert total > 50 * looked
