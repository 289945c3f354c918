"""The matches of made-up rules, in the words of both dialects, as tables: one function makes one match's text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

PORTS = (22, 53, 80, 443, 3306, 11211)
"""Servers' ports, as in the dialogues."""

PREFIXES: dict[str, tuple[str, ...]] = {
    "ip": (
        "192.0.2.0/24",
        "192.0.2.8/29",
        "192.0.2.9",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "127.0.0.0/8",
        "192.0.2.1",
    ),
    "ip6": (
        "2001:db8::/64",
        "2001:db8::8/125",
        "2001:db8::9",
        "2001:db8:1::/64",
        "2001:db8:2::/64",
        "::1",
        "2001:db8::1",
    ),
}
"""Networks and addresses that the dialogues use."""

XT_STATES = ("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED")
NFT_STATES = ("new", "established", "related", "invalid", "untracked")
XT_STATUS = ("SEEN_REPLY", "ASSURED", "CONFIRMED", "NONE", "SEEN_REPLY,ASSURED")
NFT_STATUS = ("seen-reply", "assured", "confirmed", "snat", "dnat", "snat,dnat", "seen-reply,dnat")
NFT_MASKED_STATUS = (
    "(snat | dnat) != 0x0",
    "(snat | dnat) == 0x0",
    "(seen-reply | dnat) == seen-reply",
    "dnat == dnat",
)
FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
DEVICES = ("eth0", "eth1", "lo", "eth+", "e+")


@dataclass(frozen=True, slots=True)
class Words:
    """What a match's text may depend on: chance, the table's family, the hook (empty in a user's chain)."""

    random: Random
    family: str
    hook: str

    def some(self, kinds: Sequence[Sequence[Callable[[Words], str]]]) -> tuple[str, ...]:
        """The matches of one rule: at most one of each group of kinds, mostly few of them."""
        count = self.random.choice((0, 1, 1, 1, 2, 2, 3))
        groups = self.random.sample(range(len(kinds)), min(count, len(kinds)))
        # The protocol must stand before what depends on it.
        texts = (self.random.choice(kinds[group])(self) for group in sorted(groups))
        return tuple(text for text in texts if text)

    def maybe_not(self) -> str:
        """iptables' negation, now and then."""
        return "! " if self.random.random() < 0.25 else ""

    def unequal(self) -> str:
        """nft's negation, now and then."""
        return "!= " if self.random.random() < 0.25 else ""

    def port(self) -> int:
        """One port."""
        return self.random.choice(PORTS)

    def span(self) -> tuple[int, int]:
        """A range of ports, from a server's port or in the ephemeral range."""
        return self.random.choice(((20, 79), (80, 500), (1024, 11211), (11211, 65535), (32768, 60999)))

    def prefix(self) -> str:
        """An address or network of the table's family (of either in inet)."""
        return self.random.choice(PREFIXES[self.ip()])

    def ip(self) -> str:
        """`ip` or `ip6`."""
        return self.random.choice(("ip", "ip6")) if self.family == "inet" else self.family

    def states(self, names: Sequence[str]) -> str:
        """One to three states."""
        return ",".join(self.random.sample(names, self.random.randint(1, 3)))

    def flags(self) -> list[str]:
        """One to three TCP flags."""
        return self.random.sample(FLAGS, self.random.randint(1, 3))


# --- iptables -------------------------------------------------------------------------------------------------------


def _xt_port(w: Words) -> str:
    low, high = w.span()
    number = str(w.port()) if w.random.random() < 0.7 else f"{low}:{high}"
    return f"-p {w.random.choice(('tcp', 'udp'))} {w.maybe_not()}--{w.random.choice('sd')}port {number}"


def _xt_both_ports(w: Words) -> str:
    return f"-p {w.random.choice(('tcp', 'udp'))} --sport {w.port()} --dport 1024:65535"


def _xt_multiport(w: Words) -> str:
    low, high = w.span()
    option = w.random.choice(("--sports", "--dports", "--ports"))
    return f"-p {w.random.choice(('tcp', 'udp'))} -m multiport {w.maybe_not()}{option} {w.port()},{low}:{high}"


def _xt_flags(w: Words) -> str:
    mask = w.flags()
    return f"-p tcp {w.maybe_not()}--tcp-flags {','.join(mask)} {','.join(mask[: w.random.randint(1, 3)])}"


XT_TYPES = {"ip": ("LOCAL", "UNICAST", "LOCAL,UNICAST"), "ip6": ("LOCAL",)}
"""Over IPv6 the model leaves other kinds undecided (K43)."""


XT_ICMP = ("echo-request", "echo-reply", "3", "3/3", "8/0")
XT_ICMPV6 = ("echo-request", "echo-reply", "1", "1/4", "135")


def _xt_icmp(w: Words) -> str:
    if w.family == "ip":
        return f"-p icmp {w.maybe_not()}--icmp-type {w.random.choice(XT_ICMP)}"
    return f"-p ipv6-icmp {w.maybe_not()}--icmpv6-type {w.random.choice(XT_ICMPV6)}"


def _xt_device(w: Words) -> str:
    ways = {"prerouting": "i", "input": "i", "output": "o", "postrouting": "o", "forward": "io"}.get(w.hook, "")
    return f"{w.maybe_not()}-{w.random.choice(ways)} {w.random.choice(DEVICES)}" if ways else ""


def _xt_range(w: Words) -> str:
    low, high = ("192.0.2.5", "192.0.2.14") if w.family == "ip" else ("2001:db8::5", "2001:db8::e")
    return f"-m iprange {w.maybe_not()}--{w.random.choice(('src', 'dst'))}-range {low}-{high}"


def _xt_set(w: Words) -> str:
    digit = "4" if w.family == "ip" else "6"
    way = w.random.choice(("src", "dst"))
    name = w.random.choice((f"web{digit}", f"pair{digit}", f"net{digit}", "ports"))
    return f"-m set {w.maybe_not()}--match-set {name} {way}{f',{way}' if name[:3] in ('pai', 'net') else ''}"


def _xt_size(w: Words) -> str:
    """Length, hop count, class."""
    hops = ("-m ttl", "--ttl-{}") if w.family == "ip" else ("-m hl", "--hl-{}")
    return w.random.choice((
        f"-m length {w.maybe_not()}--length {w.random.choice(('0:30', '28', '40:60', '49:65535'))}",
        f"{hops[0]} {hops[1].format(w.random.choice(('eq', 'lt', 'gt')))} {w.random.choice((63, 64))}",
        f"-m dscp {w.maybe_not()}--dscp {w.random.choice((0, 10, 46))}",
        f"-m ecn {w.maybe_not()}--ecn-ip-ect {w.random.choice((0, 1, 2, 3))}",
        f"-m pkttype {w.maybe_not()}--pkt-type {w.random.choice(('unicast', 'multicast'))}",
    ))  # fmt: skip


XT_MATCHES: tuple[tuple[Callable[[Words], str], ...], ...] = (
    (
        lambda w: f"{w.maybe_not()}-p {w.random.choice(('tcp', 'udp'))}",
        _xt_port,
        _xt_port,
        _xt_port,
        _xt_both_ports,
        _xt_multiport,
        lambda w: f"-p tcp {w.maybe_not()}--syn",
        lambda w: f"-p tcp -m ecn {w.maybe_not()}--ecn-tcp-{w.random.choice(('cwr', 'ece'))}",
        _xt_flags,
        _xt_icmp,
    ),
    (
        lambda w: f"{w.maybe_not()}-s {w.prefix()}",
        lambda w: f"{w.maybe_not()}-d {w.prefix()}",
        _xt_range,
        lambda w: f"{w.maybe_not()}-f" if w.family == "ip" else "",
        lambda w: (
            f"-m addrtype {w.maybe_not()}--{w.random.choice(('src', 'dst'))}-type {w.random.choice(XT_TYPES[w.family])}"
        ),
    ),
    (_xt_device,),
    (lambda w: "", lambda w: "", _xt_set, _xt_size),
    (
        lambda w: f"-m conntrack {w.maybe_not()}--ctstate {w.states(XT_STATES)}",
        lambda w: f"-m state {w.maybe_not()}--state {w.states(XT_STATES)}",
        lambda w: f"-m conntrack --ctstate {w.states(XT_STATES)} --ctorigdst {w.prefix()}",
        lambda w: f"-m conntrack --ctproto {w.random.choice((6, 17))}",
        lambda w: f"-m conntrack {w.maybe_not()}--ctstatus {w.random.choice(XT_STATUS)}",
        lambda w: f"-m conntrack --ctdir {w.random.choice(('ORIGINAL', 'REPLY'))}",
        lambda w: f"-m conntrack --ctstate {w.random.choice(('SNAT', 'DNAT', 'NEW,DNAT'))}",
    ),
    (
        lambda w: f"-m mark {w.maybe_not()}--mark {w.random.choice(('1', '0x1/0x3', '0', '4/4'))}",
        lambda w: f"-m connmark {w.maybe_not()}--mark {w.random.choice(('1', '0x1/0x3', '0', '5'))}",
        lambda w: "-m comment --comment made-up",
    ),
)
"""Groups of kinds of iptables matches; a rule has at most one of each group."""


# --- nft ------------------------------------------------------------------------------------------------------------


def _nft_port(w: Words) -> str:
    low, high = w.span()
    number = w.random.choice((str(w.port()), f"{low}-{high}", f"{{ {w.port()}, {low}-{high} }}", "@ports"))
    header = w.random.choice(("tcp", "tcp", "udp", "udp", "meta l4proto { tcp, udp } th"))
    return f"{header} {w.random.choice('sd')}port {w.unequal()}{number}"


def _nft_flags(w: Words) -> str:
    mask = [flag.lower() for flag in w.random.sample(FLAGS, w.random.randint(2, 3))]
    value = mask[: w.random.randint(1, 3)]
    return w.random.choice((
        f"tcp flags & ({' | '.join(mask)}) == {' | '.join(value)}",
        f"tcp flags {','.join(value)} / {','.join(mask)}",
        f"tcp flags {mask[0]}",
        f"tcp flags & ({' | '.join(mask)}) != 0",
    ))  # fmt: skip


def _nft_icmp(w: Words) -> str:
    if w.ip() == "ip":
        return f"icmp type {w.unequal()}{w.random.choice(('echo-request', 'echo-reply', '{ 3, 8 }', '3'))}"
    return f"icmpv6 type {w.unequal()}{w.random.choice(('echo-request', 'echo-reply', '{ 1, 128 }', '135'))}"


def _nft_address(w: Words) -> str:
    ip = w.ip()
    low, high = ("192.0.2.5", "192.0.2.14") if ip == "ip" else ("2001:db8::5", "2001:db8::e")
    one, other = w.random.sample([p for p in PREFIXES[ip] if "/24" in p or "/64" in p], 2)
    number = w.random.choice((w.random.choice(PREFIXES[ip]), f"{low}-{high}", f"{{ {one}, {other} }}"))
    return f"{ip} {w.random.choice('sd')}addr {w.unequal()}{number}"


def _nft_pair(w: Words) -> str:
    ip = w.ip()
    pairs = ", ".join(f"{p} . {w.port()}" for p in w.random.sample(PREFIXES[ip][2:5], 2))  # none inside another
    return f"{ip} {w.random.choice('sd')}addr . {w.random.choice(('tcp', 'udp'))} dport {{ {pairs} }}"


def _nft_device(w: Words) -> str:
    name = w.random.choice(DEVICES).replace("+", "*")
    return f'{w.random.choice("io")}ifname {w.unequal()}"{name}"'


FLOW = "{ip} saddr . tcp sport . {ip} daddr . tcp dport"
"""What tells a dialogue from all others, so that none finds what another one has added to a set."""


def _nft_named(w: Words) -> str:
    ip = w.ip()
    digit, way, protocol = "4" if ip == "ip" else "6", w.random.choice("sd"), w.random.choice(("tcp", "udp"))
    return w.random.choice((
        f"{ip} {way}addr {w.unequal()}@timed{digit}",
        f"{FLOW.format(ip=ip)} @flows{digit}",
        f"meta l4proto . th {way}port {w.unequal()}@services",
        f"meta l4proto . th {way}port {w.unequal()}{{ tcp . {w.port()}, udp . {w.port()} }}",
        f"{protocol} {way}port {{ {w.port()}, * }}",
        f"{ip} {way}addr {w.unequal()}@nets{digit}",
        f"{ip} {way}addr . {protocol} {w.random.choice('sd')}port @pairs{digit}",
    ))  # fmt: skip


def _nft_size(w: Words) -> str:
    ip = w.ip()
    hops = f"{'ip ttl' if ip == 'ip' else 'ip6 hoplimit'} {w.random.choice(('', '!= ', '< ', '> '))}"
    return w.random.choice((
        f"meta length {w.unequal()}{w.random.choice(('0-30', '28', '40-60', '{ 40, 60 }'))}",
        f"{hops}{w.random.choice((63, 64))}",
        f"{ip} dscp {w.unequal()}{w.random.choice(('cs0', 'af11', 'ef', '{ af11, ef }'))}",
        f"{ip} ecn {w.unequal()}{w.random.choice(('not-ect', 'ect0', 'ce', '{ ect0, ect1 }'))}",
        f"meta pkttype {w.unequal()}{w.random.choice(('host', 'multicast'))}",
    ))  # fmt: skip


def _nft_fragment(w: Words) -> str:
    return f"ip frag-off & 0x1fff {w.random.choice(('!=', '=='))} 0" if w.ip() == "ip" else ""


NFT_MATCHES: tuple[tuple[Callable[[Words], str], ...], ...] = (
    (
        lambda w: f"meta l4proto {w.unequal()}{w.random.choice(('tcp', 'udp', '{ tcp, udp }', 'icmp'))}",
        _nft_port,
        _nft_port,
        _nft_port,
        _nft_flags,
        _nft_icmp,
        _nft_pair,
        lambda w: f"th {w.random.choice('sd')}port {w.port()} meta l4proto {{ tcp, udp }}",
    ),
    (
        _nft_address,
        _nft_address,
        _nft_address,
        _nft_fragment,
        lambda w: f"fib {w.random.choice('sd')}addr type {w.unequal()}{w.random.choice(('local', 'unicast'))}",
        lambda w: f"meta nfproto {w.random.choice(('ipv4', 'ipv6'))}" if w.family == "inet" else "",
    ),
    (_nft_device,),
    (lambda w: "", lambda w: "", _nft_named, _nft_size),
    (
        lambda w: f"ct state {w.states(NFT_STATES)}",
        lambda w: f"ct state {w.states(NFT_STATES)}",
        lambda w: f"ct state {w.unequal()}{w.random.choice(NFT_STATES)}",
        lambda w: f"ct state {{ {w.states(NFT_STATES).replace(',', ', ')} }}",
        lambda w: f"ct mark {w.unequal()}{w.random.choice(('1', '0', '{ 1, 4 }', '1-7'))}",
        lambda w: f"ct mark & 0x3 {w.random.choice(('==', '!='))} 0x1",
        lambda w: f"ct direction {w.random.choice(('original', 'reply'))}",
        lambda w: f"ct status {w.unequal()}{w.random.choice(NFT_STATUS)}",
        lambda w: f"ct status & {w.random.choice(NFT_MASKED_STATUS)}",
        lambda w: f"ct zone {w.unequal()}{w.random.choice(('0', '5'))}",
    ),
    (lambda w: f"meta mark {w.unequal()}{w.random.choice(('1', '0', '{ 1, 4 }'))}", lambda w: "meta mark & 0x3 == 0x1"),
)
"""Groups of kinds of nft matches; a rule has at most one of each group."""

NFT_EARLY_MATCHES: tuple[tuple[Callable[[Words], str], ...], ...] = (
    (_nft_port, _nft_port, _nft_flags, _nft_icmp, _nft_pair),
    (_nft_address,),
    (lambda w: f'iifname "{w.random.choice(("eth0", "eth1", "lo"))}"',),
    (_nft_size,),
)
"""The same for ingress chains, which know no entry and no route."""
