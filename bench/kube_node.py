"""A node's rules as kube-proxy (iptables mode) writes them: services with three endpoints each, eleven rules a service.

`python -m bench.kube_node 1000` prints the node of 11,015 rules that `make bench` plans for.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator

ENDPOINTS = 3
PER_SERVICE = 2 + ENDPOINTS * 3
"""One rule in KUBE-SERVICES, in the service's chain one that marks and one an endpoint, two in each endpoint's."""
BASE = 15
"""Rules of a node without any service."""

FILTER = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"""
NAT = """\
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -m comment --comment "node ports come last" -j KUBE-NODEPORTS
"""


def kube_node(services: int, moved: int | None = None) -> str:
    """`iptables-save` of a node with so many services; the endpoints of the one numbered `moved` are others."""
    made = [_service(number, number == moved) for number in range(services)]
    chains = [":PREROUTING ACCEPT [0:0]", ":INPUT ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]"]
    own = ("KUBE-MARK-MASQ", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-SERVICES")
    chains += [f":{name} - [0:0]" for name in (*own, *(name for names, *_ in made for name in names))]
    portals = [portal for _, portal, _ in made]
    rules = [line for *_, lines in made for line in lines]
    *base, last = NAT.splitlines()
    return FILTER + "\n".join(["*nat", *chains, *base, *portals, last, *rules, "COMMIT", ""])


def _service(number: int, moved: bool) -> tuple[list[str], str, list[str]]:
    """Its chains, its rule in KUBE-SERVICES, and the rules of its chains."""
    name, address = f"shop/service-{number}:http", f"10.96.{number >> 8 & 0xFF}.{number & 0xFF}/32"
    chain = f"KUBE-SVC-{_hashed(name)}"
    ends = [f"10.244.{number >> 8 & 0xFF}.{number & 0xFF}:{8080 + at + 100 * moved}" for at in range(ENDPOINTS)]
    seps = [f"KUBE-SEP-{_hashed(f'{name}{end}')}" for end in ends]
    to = f'-d {address} -p tcp -m comment --comment "{name} cluster IP" -m tcp --dport 80'
    rules = [f"-A {chain} ! -s 10.244.0.0/16 {to} -j KUBE-MARK-MASQ"]
    for at, (sep, end) in enumerate(zip(seps, ends, strict=True)):
        left, said = ENDPOINTS - at, f'-m comment --comment "{name} -> {end}"'
        chance = f" -m statistic --mode random --probability {1 / left:.11f}" if left > 1 else ""
        rules.append(f"-A {chain} {said}{chance} -j {sep}")
    rules += [line for sep, end in zip(seps, ends, strict=True) for line in _endpoint(sep, name, end)]
    return [chain, *seps], f"-A KUBE-SERVICES {to} -j {chain}", rules


def _endpoint(chain: str, name: str, end: str) -> Iterator[str]:
    said = f'-m comment --comment "{name}"'
    yield f"-A {chain} -s {end.partition(':')[0]}/32 {said} -j KUBE-MARK-MASQ"
    yield f"-A {chain} -p tcp {said} -m tcp -j DNAT --to-destination {end}"


def _hashed(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16].upper()


if __name__ == "__main__":
    sys.stdout.write(kube_node(int(sys.argv[1])))
