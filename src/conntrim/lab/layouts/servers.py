"""Layouts of servers: written by hand, by ufw, CSF and fail2ban, and what is added to them in practice."""

from __future__ import annotations

from conntrim.lab.layouts.layout import DROPPED, FILTER, MANGLE, Draw, Layout, save


def by_hand(draw: Draw) -> Layout:
    """The recipe of many guides: what is established, loopback, a few ports, the rest refused."""
    state = draw.chance.choice(("-m state --state", "-m conntrack --ctstate"))
    opens = draw.chance.choice(("", f" {state} NEW", f" {state} NEW"))
    syn = draw.often(0.2)
    head = ["INPUT -i lo -j ACCEPT", f"INPUT {state} RELATED,ESTABLISHED -j ACCEPT"]
    if draw.often(0.4):
        head.append(f"INPUT {state} INVALID -j DROP")
    if syn:
        head.append(f"INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN {state} NEW -j DROP")
    body = [f"INPUT -p tcp -m tcp --dport {port}{opens} -j ACCEPT" for port in draw.tcp]
    body += [f"INPUT -p udp -m udp --dport {port}{opens} -j ACCEPT" for port in draw.udp]
    tail = [] if draw.often(0.5) else ["INPUT -j REJECT --reject-with {}-prohibited"]
    out = ["OUTPUT -m conntrack --ctstate INVALID -j DROP"] if draw.often(0.2) else []
    policies = DROPPED if not tail else FILTER
    texts = [
        save("filter", policies, (), [*head, icmp, *body, *(line.format(kind) for line in tail), *out])
        for icmp, kind in (("INPUT -p icmp -j ACCEPT", "icmp-host"), ("INPUT -p ipv6-icmp -j ACCEPT", "icmp6-adm"))
    ]
    return Layout("by hand", draw.inbound, ip=texts[0], ip6=texts[1])


def limited(draw: Draw) -> Layout:
    """By hand, with what keeps guessers away from ssh: `recent`, hashlimit or connlimit on new connections."""
    kind = draw.chance.choice((
        "-m recent --set --name SSH --rsource"
        "|-m recent --update --seconds 60 --hitcount 9 --name SSH --rsource -j DROP",
        "-m hashlimit --hashlimit-above 9/min --hashlimit-burst 9 --hashlimit-mode srcip --hashlimit-name ssh -j DROP",
        "-m connlimit --connlimit-above 9 --connlimit-mask 32 --connlimit-saddr -j REJECT --reject-with tcp-reset",
    ))  # fmt: skip
    rules = ["INPUT -i lo -j ACCEPT", "INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]
    rules += [f"INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW {part}" for part in kind.split("|")]
    ports = (*draw.tcp, *(() if 22 in draw.tcp else (22,)))
    rules += [f"INPUT -p tcp -m tcp --dport {port} -m conntrack --ctstate NEW -j ACCEPT" for port in ports]
    rules += ["INPUT -p icmp -j ACCEPT", 'INPUT -m limit --limit 5/min -j LOG --log-prefix "refused: "']
    return Layout("limited", tuple(("tcp", port) for port in draw.tcp), ip=save("filter", DROPPED, (), rules))


def ufw(draw: Draw) -> Layout:
    """ufw: chains before, user and after, in both families."""
    return Layout("ufw", draw.inbound, ip=_ufw(draw, "ufw", "icmp"), ip6=_ufw(draw, "ufw6", "ipv6-icmp"))


def _ufw(draw: Draw, name: str, icmp: str) -> str:
    hooks = {"input": "INPUT", "forward": "FORWARD", "output": "OUTPUT"}
    parts = ("before-logging", "before", "after", "after-logging", "reject", "track")
    chains = [f"{name}-{part}-{hook}" for hook in hooks for part in parts]
    chains += [f"{name}-{word}" for word in ("user-input", "user-limit", "user-limit-accept", "not-local",
                                             "logging-deny", "skip-to-policy-input")]  # fmt: skip
    rules = [f"{chain} -j {name}-{part}-{hook}" for hook, chain in hooks.items() for part in parts]
    before = f"{name}-before-input"
    rules += [f"{before} -i lo -j ACCEPT", f"{before} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
              f"{before} -m conntrack --ctstate INVALID -j {name}-logging-deny",
              f"{before} -m conntrack --ctstate INVALID -j DROP", f"{before} -p {icmp} -j ACCEPT",
              f"{before} -j {name}-not-local", f"{before} -j {name}-user-input",
              f"{name}-before-output -o lo -j ACCEPT",
              f"{name}-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]  # fmt: skip
    rules += [f"{name}-not-local -m addrtype --dst-type {kind} -j RETURN" for kind in ("LOCAL", "MULTICAST")]
    if name == "ufw":
        rules += ["ufw-not-local -m addrtype --dst-type BROADCAST -j RETURN",
                  "ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny",
                  "ufw-not-local -j DROP"]  # fmt: skip
    user = f"{name}-user-input"
    if draw.often(0.4):
        limit = f"{user} -p tcp -m tcp --dport 2222 -m conntrack --ctstate NEW -m recent"
        rules += [f"{limit} --set --name DEFAULT --rsource",
                  f"{limit} --update --seconds 30 --hitcount 6 --name DEFAULT --rsource -j {name}-user-limit",
                  f"{user} -p tcp -m tcp --dport 2222 -j {name}-user-limit-accept",
                  f"{name}-user-limit -m limit --limit 3/min -j LOG --log-prefix \"[UFW LIMIT BLOCK] \"",
                  f"{name}-user-limit -j REJECT", f"{name}-user-limit-accept -j ACCEPT"]  # fmt: skip
    rules += [f"{user} -p {protocol} -m {protocol} --dport {port} -j ACCEPT" for protocol, port in draw.inbound]
    rules += [f"{name}-after-input -p udp -m udp --dport {port} -j {name}-skip-to-policy-input" for port in (137, 138)]
    rules += [f"{name}-skip-to-policy-input -j DROP",
              f"{name}-after-logging-input -m limit --limit 3/min -j LOG --log-prefix \"[UFW BLOCK] \"",
              f"{name}-logging-deny -m conntrack --ctstate INVALID -m limit --limit 3/min --limit-burst 10 -j RETURN",
              f"{name}-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix \"[UFW BLOCK] \"",
              f"{name}-track-output -p tcp -m conntrack --ctstate NEW -j ACCEPT",
              f"{name}-track-output -p udp -m conntrack --ctstate NEW -j ACCEPT"]  # fmt: skip
    return save("filter", DROPPED, chains, rules)


def csf(draw: Draw) -> Layout:
    """CSF: both directions filtered, its INVALID chain in front, what is refused is logged at a limit."""
    chains = ("ALLOWIN", "ALLOWOUT", "DENYIN", "DENYOUT", "INVALID", "INVDROP", "LOCALINPUT", "LOCALOUTPUT",
              "LOGDROPIN", "LOGDROPOUT")  # fmt: skip
    new = "-m conntrack --ctstate NEW -m"
    rules = ["INPUT ! -i lo -j LOCALINPUT", "INPUT -i lo -j ACCEPT", "INPUT ! -i lo -p tcp -j INVALID",
             "INPUT ! -i lo -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]  # fmt: skip
    rules += [f"INPUT ! -i lo -p {kind} {new} {kind} --dport {port} -j ACCEPT" for kind, port in draw.inbound]
    rules += ["INPUT ! -i lo -p icmp -m icmp --icmp-type 8 -m limit --limit 1/sec -j ACCEPT",
              "INPUT ! -i lo -p icmp -m icmp --icmp-type 8 -j LOGDROPIN", "INPUT ! -i lo -p icmp -j ACCEPT",
              "INPUT ! -i lo -j LOGDROPIN", "OUTPUT ! -o lo -j LOCALOUTPUT",
              "OUTPUT ! -o lo -p udp -m udp --dport 53 -j ACCEPT", "OUTPUT ! -o lo -p tcp -m tcp --dport 53 -j ACCEPT",
              "OUTPUT -o lo -j ACCEPT", "OUTPUT ! -o lo -p tcp -j INVALID",
              "OUTPUT ! -o lo -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]  # fmt: skip
    rules += [f"OUTPUT ! -o lo -p tcp {new} tcp --dport {port} -j ACCEPT" for port in (22, 53, 80, 113, 443, 11211)]
    rules += [f"OUTPUT ! -o lo -p udp {new} udp --dport {port} -j ACCEPT" for port in (53, 113, 123)]
    rules += ["OUTPUT ! -o lo -p icmp -j ACCEPT", "OUTPUT ! -o lo -j LOGDROPOUT",
              "INVALID -m conntrack --ctstate INVALID -j INVDROP"]  # fmt: skip
    every = "FIN,SYN,RST,PSH,ACK,URG"
    rules += [f"INVALID -p tcp -m tcp --tcp-flags {flags} -j INVDROP" for flags in (
        f"{every} NONE", f"{every} {every}", "FIN,SYN FIN,SYN", "SYN,RST SYN,RST", "FIN,RST FIN,RST", "FIN,ACK FIN",
        "PSH,ACK PSH", "ACK,URG URG")]  # fmt: skip
    rules += ["INVALID -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j INVDROP",
              "INVDROP -j DROP", "LOCALINPUT ! -i lo -j ALLOWIN", "LOCALINPUT ! -i lo -j DENYIN",
              "LOCALOUTPUT ! -o lo -j ALLOWOUT", "LOCALOUTPUT ! -o lo -j DENYOUT",
              f"ALLOWIN -s 198.51.100.{draw.octet}/32 ! -i lo -j ACCEPT",
              f"ALLOWOUT -d 198.51.100.{draw.octet}/32 ! -o lo -j ACCEPT",
              "DENYIN -s 203.0.113.99/32 ! -i lo -j DROP",
              "DENYOUT -d 203.0.113.99/32 ! -o lo -j LOGDROPOUT"]  # fmt: skip
    rules += [f"LOGDROPIN -p tcp -m tcp --dport {port} -j DROP" for port in (23, 67, 111, 445)]
    rules += ["LOGDROPIN -p tcp -m limit --limit 30/min -j LOG --log-prefix \"Firewall: *TCP_IN Blocked* \"",
              "LOGDROPIN -j DROP",
              "LOGDROPOUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m limit --limit 30/min -j LOG",
              "LOGDROPOUT -j REJECT --reject-with icmp-port-unreachable"]  # fmt: skip
    policies = {"INPUT": "DROP", "FORWARD": "DROP", "OUTPUT": "DROP"}
    return Layout("csf", draw.inbound, ip=save("filter", policies, chains, rules))


def banned(draw: Draw) -> Layout:
    """fail2ban's chains in front of rules by hand."""
    ports, names = ("22", "80,443"), ("f2b-sshd", "f2b-nginx-http-auth")
    rules = [f"INPUT -p tcp -m multiport --dports {those} -j {name}" for those, name in zip(ports, names, strict=True)]
    rules += ["INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "INPUT -i lo -j ACCEPT"]
    rules += [f"INPUT -p {kind} -m {kind} --dport {port} -j ACCEPT" for kind, port in draw.inbound]
    rules += [f"INPUT -p icmp -m icmp --icmp-type {kind} -j ACCEPT" for kind in (3, 8, 11, 12)]
    for name in names:
        bad = [f"203.0.113.{draw.chance.randint(1, 250)}" for _ in range(3)]
        rules += [f"{name} -s {each}/32 -j REJECT --reject-with icmp-port-unreachable" for each in bad]
        rules.append(f"{name} -j RETURN")
    return Layout("fail2ban", draw.inbound, ip=save("filter", DROPPED, names, rules))


def several_uplinks(draw: Draw) -> Layout:
    """Marks that routing reads (`ip rule fwmark`), and a clamp of the segment size: by service, or kept in the entry of
    whoever came in by the second uplink, so that answers leave by it."""
    mark = f"0x{draw.octet:x}/0xffffffff"
    if draw.often(0.5):
        mangle = [f"PREROUTING -p tcp -m tcp --dport {draw.tcp[0]} -j MARK --set-xmark {mark}"]
        mangle += [f"OUTPUT -p tcp -m tcp --sport {draw.tcp[-1]} -j MARK --set-xmark {mark}"] if draw.often(0.5) else []
    else:
        mangle = [f"PREROUTING -i eth1 -m conntrack --ctstate NEW -j CONNMARK --set-xmark {mark}",
                  "OUTPUT -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff"]  # fmt: skip
    mangle = [*mangle, "POSTROUTING -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"]  # fmt: skip
    rules = ["INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "INPUT -i lo -j ACCEPT"]
    rules += [f"INPUT -p {kind} -m {kind} --dport {port} -j ACCEPT" for kind, port in draw.inbound]
    return Layout("several uplinks", draw.inbound, ip=save("mangle", MANGLE, (), mangle) +
                  save("filter", DROPPED, (), [*rules, "INPUT -p icmp -j ACCEPT"]), uplink=draw.octet)  # fmt: skip
