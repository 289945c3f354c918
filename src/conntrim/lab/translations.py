"""What the nat chains of made-up rules do, in the words of both dialects: targets of all kinds, certain and not."""

from __future__ import annotations

from collections.abc import Sequence

from conntrim.lab.words import Words

TARGETS: dict[str, tuple[str, ...]] = {
    "ip": ("198.51.100.7", "203.0.113.7", "192.0.2.1", "198.51.100.1", "192.0.2.77"),
    "ip6": ("2001:db8:1::7", "2001:db8:2::7", "2001:db8::1", "2001:db8:1::1", "2001:db8::77"),
}
"""New destinations: behind the host, in the world, the host itself, a neighbour."""

SOURCES: dict[str, tuple[str, ...]] = {
    "ip": ("192.0.2.1", "198.51.100.1", "203.0.113.200", "192.0.2.201"),
    "ip6": ("2001:db8::1", "2001:db8:1::1", "2001:db8:2::200", "2001:db8::201"),
}
"""New sources: the host's own addresses and others."""

PORTS = ("8080", "80", "443", "5000-6000", "1024-65535")

DESTINATIONS = ("prerouting", "output")
"""Where destinations are translated."""


def _to(words: Words, addresses: tuple[str, ...], ported: bool, v6: bool) -> str:
    """An address, with a port where the rule is for a protocol that has them."""
    address = words.random.choice(addresses)
    if not ported or words.random.random() < 0.5:
        return address
    return f"{f'[{address}]' if v6 else address}:{words.random.choice(PORTS)}"


def _either(words: Words, named: str, own: str) -> str:
    """To an address that the rule names, or half as often to the interface's own, which INPUT knows nothing of."""
    return named if words.hook == "input" else words.random.choice((named, named, own))


ABOUT = {"ip": ("ip ", "icmp ", "meta nfproto ipv4"), "ip6": ("ip6 ", "icmpv6 ", "meta nfproto ipv6")}
"""How a match begins that is about one family only."""


def xt_translation(words: Words, ported: bool) -> str:
    """A target of a chain of iptables' nat table."""
    v6 = words.family == "ip6"
    port = f" --to-ports {words.random.choice(PORTS)}" if ported and words.random.random() < 0.5 else ""
    if words.hook in DESTINATIONS:
        dnat = f"-j DNAT --to-destination {_to(words, TARGETS[words.family], ported, v6)}"
        return _either(words, dnat, f"-j REDIRECT{port}")
    snat = f"-j SNAT --to-source {_to(words, SOURCES[words.family], ported, v6)}"
    return _either(words, snat, f"-j MASQUERADE{port}")


def _by_map(words: Words, ip: str, family: str) -> str:
    """A destination looked up in a map; what it has no element for goes on with the next rule (K53)."""
    one, other = words.random.sample(TARGETS[ip], 2)
    return words.random.choice((
        f"dnat{family} to tcp dport map {{ 22 : {one}, 80 : {other}, 443-1000 : {one} }}",
        f"dnat {ip} addr . port to udp dport map {{ 53 : {one} . 5353, 443 : {other} . 8443 }}",
        f"dnat{family} to numgen inc mod 2 map {{ 0 : {one}, 1 : {one} }}",
    ))  # fmt: skip


def nft_translation(words: Words, matches: Sequence[str]) -> str:
    """A statement of a nat chain, of the family that the rule's matches are about."""
    ip = next((ip for ip, marks in ABOUT.items() for m in matches if m.startswith(marks)), words.ip())
    ported = any(m.startswith(("tcp", "udp")) for m in matches)
    family = f" {ip}" if words.family == "inet" else ""
    port = f" to :{words.random.choice(PORTS)}" if ported and words.random.random() < 0.5 else ""
    if words.hook in DESTINATIONS:
        dnat = f"dnat{family} to {_to(words, TARGETS[ip], ported, ip == 'ip6')}"
        if not any(m.startswith(("udp", "icmp", "meta l4proto", "th", "tcp")) for m in matches):
            dnat = words.random.choice((dnat, _by_map(words, ip, family)))
        return _either(words, dnat, f"redirect{port}")
    snat = f"snat{family} to {_to(words, SOURCES[ip], ported, ip == 'ip6')}"
    return _either(words, snat, f"masquerade{port}")
