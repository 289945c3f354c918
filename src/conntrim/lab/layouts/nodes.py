"""Layouts of hosts that translate: Docker, kube-proxy, Calico, Cilium, tailscale, a gateway."""

from __future__ import annotations

from conntrim.lab.layouts.layout import DROPPED, FILTER, HOST4, MANGLE, NAT, RAW, Draw, Layout, save

BRIDGE = "172.17.0.1/16"


def docker(draw: Draw) -> Layout:
    """Docker with published ports; in front of it the host's own filter, or none."""
    published = [(8000 + at, f"172.17.0.{at + 2}") for at in range(draw.chance.randint(1, 3))]
    chains = ("DOCKER", "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2", "DOCKER-USER")
    forward = ["FORWARD -j DOCKER-USER", "FORWARD -j DOCKER-ISOLATION-STAGE-1",
               "FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
               "FORWARD -o docker0 -j DOCKER", "FORWARD -i docker0 ! -o docker0 -j ACCEPT",
               "FORWARD -i docker0 -o docker0 -j ACCEPT"]  # fmt: skip
    forward += [f"DOCKER -d {to}/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT" for _, to in published]
    forward += ["DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2",
                "DOCKER-ISOLATION-STAGE-1 -j RETURN", "DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP",
                "DOCKER-ISOLATION-STAGE-2 -j RETURN", "DOCKER-USER -j RETURN"]  # fmt: skip
    own = _own(draw)
    nat = ["PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
           "OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
           "POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"]  # fmt: skip
    nat += [f"POSTROUTING -s {to}/32 -d {to}/32 -p tcp -m tcp --dport 80 -j MASQUERADE" for _, to in published]
    nat += ["DOCKER -i docker0 -j RETURN"] if draw.often(0.7) else []
    nat += [f"DOCKER ! -i docker0 -p tcp -m tcp --dport {p} -j DNAT --to-destination {to}:80" for p, to in published]
    policies = DROPPED if own else FILTER | {"FORWARD": "DROP"}
    text = save("filter", policies, chains, [*own, *forward]) + save("nat", NAT, ("DOCKER",), nat)
    return Layout("docker", draw.inbound, ip=text, devices=(("docker0", BRIDGE),))


def _own(draw: Draw) -> list[str]:
    if draw.often(0.4):
        return []
    rules = ["INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "INPUT -i lo -j ACCEPT"]
    rules += [f"INPUT -p {kind} -m {kind} --dport {port} -j ACCEPT" for kind, port in draw.inbound]
    return [*rules, "INPUT -p icmp -j ACCEPT"]


def kube_proxy(draw: Draw) -> Layout:
    """kube-proxy in its iptables mode, with kubelet's drop of martians from outside."""
    said = '-m comment --comment "kubernetes {}"'
    firewall = ["INPUT -m conntrack --ctstate NEW " + said.format("load balancer firewall") + " -j KUBE-PROXY-FIREWALL",
                "INPUT " + said.format("health check service ports") + " -j KUBE-NODEPORTS", "INPUT -j KUBE-FIREWALL",
                "FORWARD " + said.format("forwarding rules") + " -j KUBE-FORWARD",
                "FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES",
                "OUTPUT -m conntrack --ctstate NEW " + said.format("service portals") + " -j KUBE-SERVICES",
                "OUTPUT -j KUBE-FIREWALL",
                "KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT"
                " -j DROP", "KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
                "KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT",
                "KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                "KUBE-SERVICES -d 10.96.0.99/32 -p tcp -m tcp --dport 80 -j REJECT"]  # fmt: skip
    if draw.often(0.3):
        firewall.insert(6, "KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP")
    chains = ("KUBE-FIREWALL", "KUBE-FORWARD", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL", "KUBE-SERVICES")
    services = [_kube_service(draw, number) for number in range(draw.chance.randint(1, 4))]
    nat = ["PREROUTING -j KUBE-SERVICES", "OUTPUT -j KUBE-SERVICES", "POSTROUTING -j KUBE-POSTROUTING",
           "KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
           "KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
           "KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0", "KUBE-POSTROUTING -j MASQUERADE --random-fully",
           *(rule for _, rules in services for rule in rules),
           "KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"]  # fmt: skip
    own = ("KUBE-MARK-MASQ", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-SERVICES", "KUBE-KUBELET-CANARY")
    text = save("filter", FILTER, chains, [*firewall, *_guarded(draw)])
    text += save("nat", NAT, (*own, *(name for names, _ in services for name in names)), nat)
    text += save("mangle", MANGLE, ("KUBE-KUBELET-CANARY", "KUBE-PROXY-CANARY"), ())
    return Layout("kube-proxy", draw.inbound, ip=text, devices=(("cni0", "10.244.0.1/24"),))


def _guarded(draw: Draw) -> list[str]:
    """Some nodes have a filter of their own behind it."""
    if draw.often(0.6):
        return []
    return [*_own(draw), "INPUT -i eth0 -j DROP"]


def _kube_service(draw: Draw, number: int) -> tuple[list[str], list[str]]:
    name, port = f"KUBE-SVC-{draw.octet:04X}{number}", draw.chance.choice((80, 443, 53))
    ends = [f"KUBE-SEP-{draw.octet:04X}{number}{at}" for at in range(draw.chance.randint(1, 3))]
    to = f"-d 10.96.0.{number + 10}/32 -p tcp -m tcp --dport {port}"
    rules = [f"KUBE-SERVICES {to} -j {name}", f"{name} ! -s 10.244.0.0/16 {to} -j KUBE-MARK-MASQ"]
    for at, end in enumerate(ends):
        left, address = len(ends) - at, f"10.244.{number}.{at + 2}"
        odds = f" -m statistic --mode random --probability {1 / left:.5f}" if left > 1 else ""
        rules += [f"{name}{odds} -j {end}", f"{end} -s {address}/32 -j KUBE-MARK-MASQ",
                  f"{end} -p tcp -m tcp -j DNAT --to-destination {address}:{port + 8000}"]  # fmt: skip
    if draw.often(0.4):
        node = f"KUBE-EXT-{draw.octet:04X}{number}"
        rules += [f"KUBE-NODEPORTS -p tcp -m tcp --dport {30000 + number} -j {node}", f"{node} -j KUBE-MARK-MASQ",
                  f"{node} -j {name}"]  # fmt: skip
        return [name, *ends, node], rules
    return [name, *ends], rules


def calico(draw: Draw) -> Layout:
    """Calico's felix: marks in raw, mangle and filter, endpoint chains; the node's own ports fall through."""
    raw = ["PREROUTING -j cali-PREROUTING", "OUTPUT -j cali-OUTPUT",
           "cali-PREROUTING -j MARK --set-xmark 0x0/0xf0000",
           "cali-PREROUTING -i cali+ -j MARK --set-xmark 0x40000/0x40000",
           "cali-PREROUTING -m mark --mark 0x40000/0x40000 -m rpfilter --validmark --invert -j DROP",
           "cali-PREROUTING -m mark --mark 0x10000/0x10000 -j ACCEPT",
           "cali-OUTPUT -j MARK --set-xmark 0x0/0xf0000",
           "cali-OUTPUT -m mark --mark 0x10000/0x10000 -j ACCEPT"]  # fmt: skip
    rules = ["INPUT -j cali-INPUT", "FORWARD -j cali-FORWARD", "OUTPUT -j cali-OUTPUT",
             "FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT",
             "cali-INPUT -i cali+ -g cali-wl-to-host", "cali-INPUT -m mark --mark 0x10000/0x10000 -j ACCEPT",
             "cali-INPUT -j MARK --set-xmark 0x0/0xf0000",
             "cali-INPUT -m mark --mark 0x10000/0x10000 -j ACCEPT",
             "cali-OUTPUT -m mark --mark 0x10000/0x10000 -j ACCEPT", "cali-OUTPUT -o cali+ -j RETURN",
             "cali-OUTPUT -j MARK --set-xmark 0x0/0xf0000",
             "cali-FORWARD -j MARK --set-xmark 0x0/0xe0000", "cali-FORWARD -i cali+ -j cali-wl-to-host",
             "cali-wl-to-host -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
             "cali-wl-to-host -m conntrack --ctstate INVALID -j DROP", "cali-wl-to-host -j ACCEPT"]  # fmt: skip
    nat = [
        "POSTROUTING -j cali-POSTROUTING",
        f"cali-POSTROUTING -s 10.{draw.octet}.0.0/16 ! -d 10.{draw.octet}.0.0/16 -j MASQUERADE --random-fully",
    ]
    text = save("raw", RAW, ("cali-PREROUTING", "cali-OUTPUT"), raw)
    text += save("nat", NAT, ("cali-POSTROUTING",), nat)
    text += save("filter", FILTER, ("cali-INPUT", "cali-FORWARD", "cali-OUTPUT", "cali-wl-to-host"),
                 [*rules, *_guarded(draw)])  # fmt: skip
    return Layout("calico", draw.inbound, ip=text, devices=(("cali1", f"10.{draw.octet}.0.1/24"),))


def cilium(draw: Draw) -> Layout:
    """Cilium: what its proxy takes is told by marks, and goes untracked."""
    raw = ["PREROUTING -j CILIUM_PRE_raw", "OUTPUT -j CILIUM_OUTPUT_raw",
           "CILIUM_PRE_raw -m mark --mark 0x200/0xf00 -j CT --notrack",
           "CILIUM_OUTPUT_raw -o lxc+ -m mark --mark 0xa00/0xfffffeff -j CT --notrack",
           "CILIUM_OUTPUT_raw -o cilium_host -m mark --mark 0xa00/0xfffffeff -j CT --notrack"]  # fmt: skip
    rules = ["INPUT -j CILIUM_INPUT", "FORWARD -j CILIUM_FORWARD", "OUTPUT -j CILIUM_OUTPUT",
             "CILIUM_INPUT -m mark --mark 0x200/0xf00 -j ACCEPT", "CILIUM_FORWARD -o cilium_host -j ACCEPT",
             "CILIUM_FORWARD -i cilium_host -j ACCEPT", "CILIUM_FORWARD -i lxc+ -j ACCEPT",
             "CILIUM_OUTPUT -m mark --mark 0xa00/0xe00 -j ACCEPT",
             "CILIUM_OUTPUT -m mark ! --mark 0xe00/0xf00 -m mark ! --mark 0xd00/0xf00 -m mark ! --mark 0x400/0xf00"
             " -j MARK --set-xmark 0xc00/0xf00"]  # fmt: skip
    nat = [
        "POSTROUTING -j CILIUM_POST_nat",
        f"CILIUM_POST_nat -s 10.{draw.octet}.0.0/24 ! -d 10.{draw.octet}.0.0/24 ! -o cilium_+ -j MASQUERADE",
    ]
    text = save("raw", RAW, ("CILIUM_PRE_raw", "CILIUM_OUTPUT_raw"), raw)
    text += save("nat", NAT, ("CILIUM_POST_nat",), nat)
    text += save("filter", FILTER, ("CILIUM_INPUT", "CILIUM_FORWARD", "CILIUM_OUTPUT"), [*rules, *_guarded(draw)])
    return Layout("cilium", draw.inbound, ip=text, devices=(("cilium_host", f"10.{draw.octet}.0.1/24"),))


def tailscale(draw: Draw) -> Layout:
    """tailscaled's chains in front of the host's own rules; the mark is set on forwarded packets only."""
    own = f"100.101.{draw.octet}.7"
    rules = ["INPUT -j ts-input", "FORWARD -j ts-forward", f"ts-input -s {own}/32 -i lo -j ACCEPT",
             "ts-input -s 100.115.92.0/23 ! -i tailscale0 -j RETURN",
             "ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP", "ts-input -i tailscale0 -j ACCEPT",
             "ts-input -p udp -m udp --dport 41641 -j ACCEPT",
             "ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000",
             "ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT",
             "ts-forward -s 100.64.0.0/10 -o tailscale0 -j DROP", "ts-forward -o tailscale0 -j ACCEPT"]  # fmt: skip
    nat = ["POSTROUTING -j ts-postrouting", "ts-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE"]
    hand = _own(draw)
    text = save("filter", DROPPED if hand else FILTER, ("ts-input", "ts-forward"), [*rules, *hand])
    text += save("nat", NAT, ("ts-postrouting",), nat)
    return Layout("tailscale", draw.inbound, ip=text, devices=(("tailscale0", f"{own}/32"),))


def gateway(draw: Draw) -> Layout:
    """A gateway of an office: masqueraded clients, forwarded ports, services of its own."""
    inside = f"10.{draw.octet}.0"
    rules = ["INPUT -i lo -j ACCEPT", "INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
             "INPUT -i lan0 -j ACCEPT", "INPUT -p icmp -j ACCEPT"]  # fmt: skip
    rules += [f"INPUT -p {kind} -m {kind} --dport {port} -j ACCEPT" for kind, port in draw.inbound]
    rules += ["FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "FORWARD -i lan0 -o eth0 -j ACCEPT",
              f"FORWARD -i eth0 -d {inside}.5/32 -p tcp -m tcp --dport 443 -j ACCEPT"]  # fmt: skip
    many = draw.chance.choice(("MASQUERADE", f"SNAT --to-source {HOST4}", "MASQUERADE --to-ports 20000-60000"))
    proto = "-p tcp -m tcp " if "to-ports" in many else ""
    nat = [f"PREROUTING -i eth0 -p tcp -m tcp --dport 4443 -j DNAT --to-destination {inside}.5:443",
           f"POSTROUTING -s {inside}.0/24 {proto}-o eth0 -j {many}"]  # fmt: skip
    text = save("filter", DROPPED, (), rules) + save("nat", NAT, (), nat)
    return Layout("gateway", draw.inbound, ip=text, devices=(("lan0", f"{inside}.1/24"),))
