"""Hosts for which something is planned: the layouts of other programs, made-up rules, strangers' rules; and a service.

The same seed draws the same host. All of them stand on the stand of `lab/held`: eth0 faces the world, eth1 what is
behind, so that inner interfaces of layouts become eth1 and bring their network along.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_interface
from random import Random

from conntrim.core.model.address import Family
from conntrim.core.model.plan import Batch
from conntrim.core.model.ruleset import Dialect
from conntrim.lab.held.corpus import Corpus
from conntrim.lab.held.kept import script_of
from conntrim.lab.held.rules import mutated, ruleset
from conntrim.lab.held.untracking import count, inert, lines_of
from conntrim.lab.layouts.layout import HOST4, HOST6, Layout
from conntrim.lab.layouts.registry import LAYOUTS, drawn
from conntrim.lab.script import Block, Line, Script, Sheet

NFT, LEGACY, NATIVE = Dialect.IPTABLES_NFT, Dialect.IPTABLES_LEGACY, Dialect.NFTABLES
RESTORE = {NFT: "-nft-restore", LEGACY: "-legacy-restore"}
LO = "lo-stays-tracked"
FAR4, FAR6 = "203.0.113.9", "2001:db8:2::9"
"""The servers of outbound services."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A service that is to go untracked; `servers` where it is an outbound one."""

    direction: str
    protocol: str
    port: int
    servers: tuple[str, ...] = ()
    keep_lo: bool = False

    def __str__(self) -> str:
        return " ".join((self.direction, self.protocol, str(self.port), *self.servers, *([LO] if self.keep_lo else [])))

    @classmethod
    def parsed(cls, text: str) -> Wish:
        """The opposite of `str`; ValueError where it is none."""
        direction, protocol, port, *servers = text.split()
        return cls(direction, protocol, int(port), tuple(s for s in servers if s != LO), LO in servers)

    @property
    def toml(self) -> str:
        """As a policy says it."""
        lines = ["[[untrack]]", f'direction = "{self.direction}"', f'protocol = "{self.protocol}"']
        lines += [f"ports = [{self.port}]"]
        lines += [f"to = [{', '.join(f'{s!r}' for s in self.servers)}]".replace("'", '"')] if self.servers else []
        lines += ["keep_lo_tracked = true"] if self.keep_lo else []
        return "\n".join((*lines, ""))


@dataclass(frozen=True, slots=True)
class PlannedHost:
    """One host. `scripts` are loaded one after the other, iptables' by `back_end`; `inner` is an address that eth1 has
    besides; `uplink` the mark with which routing sends packets out of eth1 (0: none); `listening`: programs listen at
    the service's ports; `strict`: loose pick-up is off; `keeps`: the plan is confirmed, else it expires."""

    name: str
    scripts: tuple[Script, ...]
    wishes: tuple[Wish, ...]
    back_end: Dialect = NFT
    inner: str = ""
    uplink: int = 0
    listening: bool = True
    strict: bool = False
    keeps: bool = True

    @property
    def batches(self) -> Iterator[Batch]:
        """What is fed to which program."""
        for batch in (b for script in self.scripts for b in script.batches()):
            yield replace(batch, program=batch.program.replace("-restore", RESTORE.get(self.back_end, "-nft-restore")))

    @property
    def policy(self) -> bytes:
        """What is wished, as a policy file."""
        return "\n".join(wish.toml for wish in self.wishes).encode()

    @property
    def families(self) -> tuple[Family, ...]:
        """Both: a host whose rules are of one family speaks the other as well."""
        return (Family.IPV4, Family.IPV6)

    @property
    def by_chance(self) -> bool:
        """Whether rules throw dice: two runs of one dialogue then need not be alike."""
        words = ("statistic", "numgen", "--random", "random")
        return any(word in str(line) for script in self.scripts for line in lines_of(script) for word in words)

    @property
    def metered(self) -> bool:
        """Whether a rate lets packets in: two runs of one dialogue then need not be alike, for the clock runs on."""
        lines = (str(line) for script in self.scripts for line in lines_of(script))
        return any(re.search(r"\blimit\b.*\bACCEPT\b|\blimit rate\b.*\baccept\b", line) for line in lines)

    @property
    def logs(self) -> bool:
        """Whether iptables' rules log."""
        return any("-j LOG" in str(line) for script in self.scripts for line in lines_of(script))

    @property
    def dialects(self) -> str:
        """The back ends in use, for counting."""
        programs = {script.program for script in self.scripts if script.sheets}
        names = [str(self.back_end)] if "iptables-restore" in programs else []
        return " + ".join([*names, *(["nft"] if "nft" in programs else [])]) or "none"


def host(seed: int, index: int, corpus: Corpus | None = None) -> PlannedHost:
    """The host of a number. HostError where a stranger's rules do not load."""
    random = Random(f"plans {seed}:{index}")  # noqa: S311 - made-up hosts, no secrets
    if corpus:
        foreign = corpus.foreign(index)
        made = PlannedHost(foreign.name, (foreign.script,), _wishes(random, [("tcp", p) for p in foreign.ports]))
    elif random.random() < MADE_UP:
        made = _made_up(random)
    else:
        made = _laid_out(random, drawn(random.choice(tuple(LAYOUTS)), random.randrange(1 << 20)))
    if random.random() < MUTATED and made.scripts[0].sheets:
        made = replace(
            made, name=f"{made.name}, mutated", scripts=(mutated(random, made.scripts[0]), *made.scripts[1:])
        )
    iptables = any(script.program != "nft" for script in made.scripts)
    if iptables and random.random() < BESIDE:
        made = replace(made, scripts=(*made.scripts, random.choice(EXTRAS)))
    return replace(
        made,
        back_end=random.choices((NFT, LEGACY), (3, 1))[0] if iptables else NATIVE,
        listening=random.random() < LISTENING, strict=random.random() < 0.15, keeps=random.random() < 0.6,
    )  # fmt: skip


KEEP_LO = 0.1
"""The part of services that stay tracked on lo."""
LISTENING = 0.8
"""The part of hosts on which the service runs when its plan is made."""
MADE_UP, MUTATED, BESIDE = 0.25, 0.15, 0.2
"""The parts of hosts with made-up rules, with one rule less, and of iptables hosts with a table of nft's own."""


def _made_up(random: Random) -> PlannedHost:
    script = ruleset(random)
    if random.random() < 0.5:
        script = inert(script)
    ports = sorted({int(n) for line in lines_of(script) for n in re.findall(r"dports? (?:\{ )?(\d+)\b", str(line))})
    services = [("udp" if port == 53 else "tcp", port) for port in ports] or [("tcp", 80)]
    name = "made up, untracking" if count(script) else "made up"
    return PlannedHost(name, (script,), _wishes(random, services))


def _wishes(random: Random, open_: Sequence[tuple[str, int]]) -> tuple[Wish, ...]:
    """One or two of the services that the rules are about; now and then one elsewhere."""
    some = random.sample(list(open_), min(len(open_), random.choice((1, 1, 1, 2))))
    found = [Wish("inbound", protocol, port) for protocol, port in some]
    if random.random() < 0.2:
        protocol, port = random.choice((("tcp", 11211), ("udp", 53), ("tcp", 443)))
        found = [*found[1:], Wish("outbound", protocol, port, random.choice(((FAR4,), (FAR6,), (FAR4, FAR6))))]
    return tuple(replace(wish, keep_lo=random.random() < KEEP_LO) for wish in found)


# --- layouts ----------------------------------------------------------------------------------------------------------

INNER = re.compile(r"\b(?:docker0|cni0|cali1|cilium_host|tailscale0|lan0|vpn0)\b|\b(?:cali|cilium_|lxc)\+")


def _laid_out(random: Random, layout: Layout) -> PlannedHost:
    """A layout on the stand: its inner interfaces are eth1."""
    texts = (("iptables-restore", layout.ip), ("ip6tables-restore", layout.ip6), ("nft", layout.nft))
    placed = [(program, _placed(text)) for program, text in texts if text]
    xt = script_of([part for part in placed if part[0] != "nft"])
    nft = script_of([("nft", _nft_text(text)) for program, text in placed if program == "nft"])
    inner = layout.devices[0][1] if layout.devices else ""
    scripts = tuple(script for script in (xt, nft) if script.sheets)
    return PlannedHost(layout.name, scripts, _wishes(random, layout.inbound), inner=inner, uplink=layout.uplink)


def _placed(text: str) -> str:
    text = INNER.sub("eth1", text)
    text = text.replace(HOST4, "192.0.2.1").replace(HOST6, "2001:db8::1")
    return re.sub(r"^(:\S+ \S+) \[\d+:\d+\]$", r"\1", text, flags=re.M)


def _nft_text(text: str) -> str:
    """As kept trials write nft: tables, chains and sets indented by one."""
    lines = []
    for line in text.splitlines():
        if one := re.fullmatch(r"  (set \w+) \{ (.*) \}", line):
            lines += [f" {one[1]} {{", f"  {one[2]}", " }"]
        else:
            lines.append(re.sub(r"^  (?=\S)", " ", line))
    return "\n".join(lines)


def inner_address(host: PlannedHost, last: int) -> int | None:
    """An address behind eth1 in the network that the host's rules know there; None where they know none."""
    if not host.inner:
        return None
    network = ip_interface(host.inner).network
    offset = 2 + last % 200 if network.num_addresses >= 256 else 0
    return (0xFFFF << 32 | int(network.network_address) + offset) if offset else None


# --- nft's own beside iptables --------------------------------------------------------------------------------------


def _extra(name: str, head: str, rules: Sequence[str], *sets: str) -> Script:
    lines = tuple(Line((), rule) for rule in rules)
    return Script("nft", (Sheet("inet", name, (Block("own", head, lines),), sets),))


SEEN = "set seen {\n  type ipv4_addr; flags dynamic,timeout; timeout 1m; size 65535;\n }"
INPUT = "type filter hook input priority {}; policy accept;"
PRE = "type filter hook prerouting priority -150; policy accept;"
SYN = "tcp flags & (fin|syn|rst|ack) == syn"
EXTRAS = (
    _extra("watch", PRE, ("update @seen { ip saddr } counter",), SEEN),
    _extra("bans", INPUT.format(-10), ("ip saddr 203.0.113.99 drop", "tcp dport 23 drop")),
    _extra("states", INPUT.format(10), ("ct state invalid counter drop",)),
    _extra("rates", INPUT.format(-5), (f"{SYN} limit rate over 4000/second burst 4000 packets drop",)),
    _extra("early", PRE.replace("-150", "-300"), ("meta l4proto 132 drop",)),
    _extra("syns", INPUT.format(5), (f"{SYN.replace('==', '!=')} ct state new drop",)),
    _extra("out", INPUT.format(5).replace("input", "output"), ("ct state invalid drop",)),
)  # fmt: skip
"""Tables that stand beside another program's."""
