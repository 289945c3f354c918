"""Layouts in nft's own tables: firewalld, VyOS, OpenWrt's fw4, and by hand."""

from __future__ import annotations

from conntrim.lab.layouts.layout import FILTER, NAT, Draw, Layout, save


def _ports(draw: Draw, state: str = "") -> list[str]:
    return [f"{kind} dport {port}{state} accept" for kind, port in draw.inbound]


def _chain(name: str, rules: list[str], hook: str = "") -> str:
    lines = [f"  chain {name} {{", *([f"    {hook}"] if hook else []), *(f"    {rule}" for rule in rules), "  }"]
    return "\n".join(lines)


def _table(name: str, *chains: str) -> str:
    return "\n".join([f"table {name} {{", *chains, "}", ""])


def by_hand(draw: Draw) -> Layout:
    """The workstation and server of many guides, one inet table."""
    rules = ['iif "lo" accept' if draw.often(0.7) else 'iifname "lo" accept']
    states = draw.chance.choice((
        ["ct state established,related accept", "ct state invalid drop"], ["ct state { established, related } accept"],
        ["ct state vmap { invalid : drop, established : accept, related : accept }"],
        ["ct state invalid drop", "ct state related,established accept", "tcp flags & (fin|syn|rst|ack) != syn ct"
         " state new drop"],
    ))  # fmt: skip
    rules += [*states, "ip protocol icmp accept", "meta l4proto ipv6-icmp accept"]
    if draw.often(0.4):
        ports = ", ".join(str(port) for port in draw.tcp)
        rules.append(f"tcp dport {{ {ports} }} ct state new accept")
        rules += [f"udp dport {port} accept" for port in draw.udp]
    else:
        rules += _ports(draw, draw.chance.choice(("", " ct state new")))
    if draw.often(0.3):
        rules.append('limit rate 5/minute log prefix "refused: "')
    rules += draw.chance.choice(([], ["reject with icmpx admin-prohibited"], ["counter drop"]))
    base = f"type filter hook input priority {draw.chance.choice(('filter', '0', '-10'))}; policy drop;"
    out = _chain("output", ["ct state invalid drop"] if draw.often(0.2) else [],
                 "type filter hook output priority filter; policy accept;")  # fmt: skip
    return Layout("nft by hand", draw.inbound, nft=_table("inet filter", _chain("input", rules, base), out))


def metered(draw: Draw) -> Layout:
    """Guessers are kept away by a set that packets add to, a limit for each client, a list of the banned."""
    kind = draw.chance.choice((
        "add @seen { ip saddr limit rate over 9/minute } drop", "add @many { ip saddr ct count over 9 } reject",
        "limit rate over 50/second drop",
    ))  # fmt: skip
    sets = ["  set seen { type ipv4_addr; flags dynamic,timeout; timeout 1m; size 4096; }",
            "  set many { type ipv4_addr; flags dynamic; size 4096; }",
            "  set banned { type ipv4_addr; flags timeout; elements = { 203.0.113.99 timeout 1h }; }"]  # fmt: skip
    rules = ["ip saddr @banned drop", 'iif "lo" accept', "ct state established,related accept", "ct state invalid drop",
             f"tcp dport 22 ct state new {kind}", "meta l4proto { icmp, ipv6-icmp } accept", "tcp dport 22 accept",
             *(rule for rule in _ports(draw) if " 22 " not in rule)]  # fmt: skip
    base = "type filter hook input priority filter; policy drop;"
    return Layout("nft metered", draw.inbound, nft=_table("inet filter", *sets, _chain("input", rules, base)))


def firewalld(draw: Draw) -> Layout:
    """firewalld's nft back end: zones by interface, chains for each step of a zone and of a policy."""
    parts = ("pre", "log", "deny", "allow", "post")
    zone = [_chain("filter_IN_public", [*(f"jump filter_IN_public_{part}" for part in parts),
                                        "meta l4proto { icmp, ipv6-icmp } accept",
                                        "reject with icmpx admin-prohibited"])]  # fmt: skip
    state = draw.chance.choice(("", " ct state { new, untracked }", " ct state new,untracked"))
    allow = [*_ports(draw, state), "ip6 daddr fe80::/64 udp dport 546 accept"]
    zone += [_chain(f"filter_IN_public_{part}", allow if part == "allow" else []) for part in parts]
    zone += [_chain("filter_FWD_public", ["reject with icmpx admin-prohibited"])]
    head = ["ct state { established, related } accept", "ct status dnat accept", 'iifname "lo" accept']
    drop = ["ct state { invalid } drop"] if draw.often(0.8) else []
    zones = ['iifname "eth0" goto filter_IN_public', "goto filter_IN_public"]
    body = _table(
        "inet firewalld",
        _chain("raw_PREROUTING", [
            'icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept',
            'meta nfproto ipv6 fib saddr . mark . iif oif missing drop',
        ] if draw.often(0.5) else [], "type filter hook prerouting priority raw + 10; policy accept;"),
        _chain("mangle_PREROUTING", [], "type filter hook prerouting priority mangle + 10; policy accept;"),
        _chain("nat_PREROUTING", [], "type nat hook prerouting priority dstnat + 10; policy accept;"),
        _chain("nat_POSTROUTING", ['oifname "wan9" masquerade'] if draw.often(0.3) else [],
               "type nat hook postrouting priority srcnat + 10; policy accept;"),
        *zone, _chain("filter_INPUT_ZONES", zones),
        _chain("filter_INPUT", [*head, *drop, "jump filter_INPUT_ZONES", "reject with icmpx admin-prohibited"],
               "type filter hook input priority filter + 10; policy accept;"),
        _chain("filter_FORWARD", [*head, *drop, "reject with icmpx admin-prohibited"],
               "type filter hook forward priority filter + 10; policy accept;"),
        _chain("filter_OUTPUT", ["ct state { established, related } accept", 'oifname "lo" accept'],
               "type filter hook output priority filter + 10; policy accept;"),
    )  # fmt: skip
    return Layout("firewalld", draw.inbound, nft=body)


def vyos(draw: Draw) -> Layout:
    """VyOS: its conntrack table decides who is tracked at all, its filter asks states in chains of their own."""
    tracked = draw.often(0.8)
    control = _table(
        "ip vyos_conntrack",
        _chain("VYOS_CT_IGNORE", ["return"]), _chain("VYOS_CT_TIMEOUT", ["return"]),
        _chain("FW_CONNTRACK", ["accept" if tracked else "return"]), _chain("NAT_CONNTRACK", ["return"]),
        *(_chain(name, ["counter jump VYOS_CT_IGNORE", "counter jump VYOS_CT_TIMEOUT", "counter jump FW_CONNTRACK",
                        "counter jump NAT_CONNTRACK", "notrack"], f"type filter hook {hook} priority -200; policy"
                  " accept;") for name, hook in (("PREROUTING", "prerouting"), ("OUTPUT", "output"))),
    )  # fmt: skip
    state = _chain("VYOS_STATE_POLICY", [
        "ct state established counter accept", "ct state invalid counter drop", "ct state related counter accept",
        "return",
    ])  # fmt: skip
    rules = ["jump VYOS_STATE_POLICY", 'iifname "lo" counter accept', "ip protocol icmp counter accept"]
    rules += [f"{kind} dport {{ {port} }} counter accept" for kind, port in draw.inbound]
    rules.append("counter drop")
    body = _table(
        "ip vyos_filter", state, _chain("NAME_OUTSIDE", rules),
        _chain("VYOS_INPUT_filter", ["counter jump NAME_OUTSIDE"],
               "type filter hook input priority filter; policy accept;"),
        _chain("VYOS_OUTPUT_filter", ["counter accept"], "type filter hook output priority filter; policy accept;"),
    )  # fmt: skip
    return Layout("vyos", draw.inbound, nft=control + body)


def fw4(draw: Draw) -> Layout:
    """OpenWrt's fw4: zones by interface, masquerading towards the outside."""
    rules = ['iifname "lo" accept', "ct state vmap { established : accept, related : accept }",
             "tcp flags & (fin | syn | rst | ack) == syn jump syn_flood", 'iifname "lan0" jump input_lan',
             'iifname "eth0" jump input_wan']  # fmt: skip
    wan = [*_ports(draw), "icmp type echo-request counter accept",
           "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, nd-neighbor-solicit,"
           " nd-neighbor-advert } limit rate 1000/second accept", "jump reject_from_wan"]  # fmt: skip
    body = _table(
        "inet fw4",
        _chain("input", rules, "type filter hook input priority filter; policy drop;"),
        _chain("forward", ["ct state vmap { established : accept, related : accept }",
                           'iifname "lan0" oifname "eth0" accept', "jump handle_reject"],
               "type filter hook forward priority filter; policy drop;"),
        _chain("output", ['oifname "lo" accept', "ct state vmap { established : accept, related : accept }", "accept"],
               "type filter hook output priority filter; policy accept;"),
        _chain("handle_reject", ["meta l4proto tcp reject with tcp reset", "reject with icmpx port-unreachable"]),
        _chain("syn_flood", ["limit rate 25/second burst 50 packets return", "drop"]),
        _chain("input_lan", ["accept"]), _chain("input_wan", wan),
        _chain("reject_from_wan", ["jump handle_reject"]),
        _chain("srcnat", ['oifname "eth0" jump srcnat_wan'], "type nat hook postrouting priority srcnat; policy"
               " accept;"),
        _chain("srcnat_wan", [f"meta nfproto ipv4 ip saddr 10.{draw.octet}.0.0/24 masquerade"]),
        _chain("mangle_forward", ['oifname "eth0" tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu'],
               "type filter hook forward priority mangle; policy accept;"),
    )  # fmt: skip
    return Layout("openwrt", draw.inbound, nft=body, devices=(("lan0", f"10.{draw.octet}.0.1/24"),))


def beside_iptables(draw: Draw) -> Layout:
    """nft's own table beside what another program keeps through iptables-nft."""
    nft = by_hand(draw).nft
    rules = ["FORWARD -i vpn0 -j ACCEPT", "FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]
    nat = [f"POSTROUTING -s 10.{draw.octet}.0.0/24 -o eth0 -j MASQUERADE"]
    text = save("filter", FILTER, (), rules) + save("nat", NAT, (), nat)
    return Layout("nft and iptables", draw.inbound, ip=text, nft=nft, devices=(("vpn0", f"10.{draw.octet}.0.1/24"),))
