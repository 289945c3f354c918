"""Random rule sets as large hosts have them, the same for the same seed: what the proofs' times are measured on.

Nine rules in ten have one port, eight in ten a source network, one in a hundred goes by source port.
"""

from __future__ import annotations

from random import Random

HEAD = (
    "*filter", ":INPUT DROP [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]", "-A INPUT -i lo -j ACCEPT",
    "-A INPUT -p icmp -m icmp --icmp-type 3 -m conntrack --ctstate RELATED,INVALID -j ACCEPT",
    "-A INPUT -p icmp -m icmp --icmp-type 11 -m conntrack --ctstate RELATED,INVALID -j ACCEPT",
    "-A INPUT -p icmp -m icmp --icmp-type 12 -m conntrack --ctstate RELATED,INVALID -j ACCEPT",
    "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
)  # fmt: skip
PREFIXES = (8, 16, 24, 24, 32, 32)


def random_rules(count: int, seed: int = 1, by_source_port: float = 0.01) -> tuple[str, ...]:
    """So many INPUT rules below a usual head; lines as iptables-save prints them, without the last COMMIT."""
    chance = Random(seed)  # noqa: S311 - rules, not keys
    return (*HEAD, *(_rule(chance, by_source_port) for _ in range(count)))


def _rule(chance: Random, by_source_port: float) -> str:
    parts = [f"-s {_network(chance)}"] if chance.random() < 0.8 else []
    parts += [f"-i eth{chance.randrange(4)}"] if chance.random() < 0.3 else []
    protocol, side = chance.choice(("tcp", "tcp", "tcp", "udp")), "s" if chance.random() < by_source_port else "d"
    parts.append(f"-p {protocol} -m {protocol} --{side}port {_ports(chance)}")
    parts += ["-m conntrack --ctstate NEW"] if chance.random() < 0.2 else []
    return f"-A INPUT {' '.join(parts)} -j {chance.choice(('ACCEPT', 'ACCEPT', 'DROP'))}"


def _network(chance: Random) -> str:
    bits = chance.choice(PREFIXES)
    address = chance.getrandbits(32) >> (32 - bits) << (32 - bits)
    return ".".join(str(address >> at & 0xFF) for at in (24, 16, 8, 0)) + f"/{bits}"


def _ports(chance: Random) -> str:
    if chance.random() < 0.9:
        return str(chance.randrange(1, 2000))
    return "{}:{}".format(*sorted(chance.sample(range(1, 65536), 2)))
