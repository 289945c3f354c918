"""Made-up hosts with nft, as people write them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from conntrim.lab import generate
from conntrim.lab.held.services import BEHIND, OUTER, PINS, SIDES, Service, services
from conntrim.lab.script import Block, Line, Script, Sheet


def nft(random: Random) -> Script:
    """A raw table and a filter, in one table or two."""
    family = random.choice(("inet", "inet", "inet", "ip", "ip6"))
    return Script("nft", tuple(Nft(random, family, services(random)).sheets()))


NFT_RETURNING = (
    "ct state established,related accept", "ct state vmap { established : accept, related : accept, invalid : drop }",
    "ct state { established, related, untracked } accept",
    "ct state vmap { established : accept, related : accept, untracked : accept }",
)  # fmt: skip
FTP_HELPER = 'ct helper ftp { type "ftp" protocol tcp\n l3proto ip\n }'


@dataclass(frozen=True, slots=True)
class Nft:
    """One host's tables."""

    random: Random
    family: str
    services: list[Service]

    def chance(self, odds: float) -> bool:
        """Whether something happens."""
        return self.random.random() < odds

    @property
    def ip(self) -> str:
        """The family that addresses are of."""
        return "ip6" if self.family == "ip6" else "ip" if self.family == "ip" else self.random.choice(("ip", "ip6"))

    def sheets(self) -> Iterator[Sheet]:
        """The tables."""
        yield Sheet(self.family, "early", tuple(self.raw()), generate.SETS)
        if self.chance(0.35):
            yield Sheet(self.family, "translate", tuple(self._nat()))
        helper = self.chance(0.1) and self.family != "ip6"
        yield Sheet(self.family, "fw", tuple(self._filter(helper)), (FTP_HELPER,) if helper else ())

    def raw(self) -> Iterator[Block]:
        """The chains that untrack."""
        early = self.random.choice(("-300", "-300", "-300", "-301", "-250", "-450"))
        chains: dict[str, list[Line]] = {"prerouting": [], "output": []}
        if self.chance(0.2):
            chains["prerouting"].append(Line(('iifname "lo"',), "accept"))
            chains["output"].append(Line(('oifname "lo"',), "accept"))
        if self.chance(0.06):
            chains[self.random.choice(list(chains))].append(Line((), "ct zone set 5"))
        for service in self.services:
            for hook, line in self._untracking(service):
                chains[hook].append(line)
        sweeping = (
            ("prerouting", (), 0.03), ("prerouting", ('iifname "eth0"',), 0.03), ("output", ('oifname "eth0"',), 0.02),
            ("output", ("meta l4proto { icmp, ipv6-icmp }",), 0.05), ("prerouting", ("meta l4proto udp",), 0.03),
            ("prerouting", ("meta mark 1",), 0.03), ("prerouting", ("ct state new",), 0.02),
            ("output", ('oifname "lo"',), 0.03), ("prerouting", ("tcp dport 21",), 0.03),
        )  # fmt: skip
        for hook, matches, odds in sweeping:
            if self.chance(odds):
                chains[hook].append(Line(matches, "notrack"))
        if self.chance(0.12) and chains["prerouting"]:
            yield Block("fast", "", tuple(chains["prerouting"]))
            jump = self.random.choice(
                ("jump fast", 'iifname "eth0" jump fast', f"{self.ip} daddr {self._pin()} jump fast")
            )
            chains["prerouting"] = [Line((), jump)]
        for hook, lines in chains.items():
            yield Block(f"raw_{hook}", f"type filter hook {hook} priority {early}; policy accept;", tuple(lines))

    def _pin(self) -> str:
        return self.random.choice(PINS["ip6" if self.family == "ip6" else "ip"])

    def _untracking(self, service: Service) -> Iterator[tuple[str, Line]]:
        sides, wrong = self.random.choice(SIDES), self.chance(0.06)
        effect = self.random.choice(("notrack", "notrack", "counter notrack", "notrack return", "notrack accept"))
        form, device, ip = self.random.random(), self.random.random(), self.ip
        pin, pinned = self.random.choice(PINS[ip]), self.random.random()
        for side in sides:
            hook, way = service.legs[side]
            way = {"sport": "dport", "dport": "sport"}[way] if wrong else way
            inward = hook == "PREROUTING" if service.direction != "forwarded" else way == "sport"
            matches = [self._device(hook, device, service), self._address(pinned, ip, pin, inward, hook)]
            matches.append(self._ports(form, service, way, ip, hook))
            yield hook.lower(), Line(tuple(filter(None, matches)), effect)

    def _ports(self, form: float, service: Service, way: str, ip: str, hook: str) -> str:
        protocol, port = service.protocol, service.port
        if form < 0.6:
            return f"{protocol} {way} {port}"
        if form < 0.75:
            return f"{protocol} {way} {{ {', '.join(map(str, sorted({port, 22, 443})))} }}"
        if form < 0.82:
            return f"meta l4proto {{ tcp, udp }} th {way} {port}"
        if form < 0.9:
            side = "daddr" if (way == "dport") else "saddr"
            return f"{ip} {side} . {protocol} {way} {{ {OUTER[ip]} . {port} }}"
        if form < 0.95:
            return f"{protocol} {way} @ports"
        return f"{protocol} {way} {port} tcp flags & (syn | ack) == ack" if protocol == "tcp" else f"udp {way} {port}"

    def _device(self, hook: str, kind: float, service: Service) -> str:
        name = "iifname" if hook == "PREROUTING" else "oifname"
        if service.direction == "loopback":
            return 'oifname "lo"'
        if kind < 0.62:
            return ""
        return f'{name} "eth0"' if kind < 0.82 else f'{name} != "lo"' if kind < 0.92 else f'{name} {{ "eth0", "eth1" }}'

    def _address(self, kind: float, ip: str, pin: str, inward: bool, hook: str) -> str:
        if kind < 0.65:
            return ""
        if kind < 0.82:
            return f"{ip} {'saddr' if inward else 'daddr'} {pin}"
        if kind < 0.9:
            return f"fib {'daddr' if hook == 'PREROUTING' else 'saddr'} type local"
        return f"{ip} {'saddr' if inward else 'daddr'} @nets{'4' if ip == 'ip' else '6'}"

    def _nat(self) -> Iterator[Block]:
        protocol, port = self.random.choice([(s.protocol, s.port) for s in self.services])
        family = self.ip
        qualified = f" {family}" if self.family == "inet" else ""
        to, port_to = BEHIND[family], f"[{BEHIND[family]}]:8080" if family == "ip6" else f"{BEHIND[family]}:8080"
        before = [text for text in (
            f'iifname "eth0" {protocol} dport {port} dnat{qualified} to {to}',
            f"{protocol} dport {port} fib daddr type local dnat{qualified} to {port_to}",
            f"{protocol} dport {port} redirect to :3306",
        ) if self.chance(0.35)]  # fmt: skip
        yield Block("pre", "type nat hook prerouting priority -100;", tuple(Line((), text) for text in before))
        yield Block("post", "type nat hook postrouting priority 100;", (Line(('oifname "eth0"',), "masquerade"),))

    def _filter(self, helper: bool) -> Iterator[Block]:
        drop = ("drop", "drop", "drop", "accept")
        yield self._chain("input", self.random.choice(drop), self._input(helper))
        yield self._chain("forward", self.random.choice(("drop", "accept")), self._forward())
        output = ["ct state invalid drop"] if self.chance(0.2) else []
        if self.chance(0.15):
            output += ["ct state established,related accept", "ct state new accept"]
        yield self._chain("output", "drop" if self.chance(0.1) else "accept", output)
        if self.chance(0.1):
            marks = ("meta mark set ct mark", 'iifname "eth0" meta mark 0 ct mark set 1', "ct mark set meta mark")
            yield Block("marks", "type filter hook prerouting priority -150;", tuple(Line((), each) for each in marks))

    def _chain(self, hook: str, policy: str, texts: list[str]) -> Block:
        head = f"type filter hook {hook} priority 0; policy {policy};"
        return Block(hook, head, tuple(Line((), text) for text in texts))

    def _input(self, helper: bool) -> list[str]:
        lines = ['iifname "lo" accept'] if self.chance(0.75) else []
        lines += [self.random.choice(NFT_RETURNING)] if self.chance(0.9) else []
        if self.chance(0.3):
            lines.insert(self.random.choice((0, len(lines))), "ct state invalid drop")
        lines += ['tcp dport 21 ct helper set "ftp" accept'] if helper else []
        lines += ["meta l4proto { icmp, ipv6-icmp } accept"] if self.chance(0.55) else []
        lines += [self.random.choice(("tcp dport { 22, 8443 } accept", "tcp dport vmap { 22 : accept, 3306 : drop }"))]
        if self.chance(0.07) and self.family != "ip6":  # its check of IPv6 sums is IPv4's
            port = next((s.port for s in self.services if (s.direction, s.protocol) == ("inbound", "tcp")), 80)
            proxy = "ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm"
            lines = [f"meta nfproto ipv4 tcp dport {port} {proxy}", "ct state invalid drop", *lines]
        for service in self.services:
            if service.direction == "inbound":
                state = self.random.choice(("", "ct state new ", "ct state { new, untracked } "))
                lines += [f"{service.protocol} dport {service.port} {state}accept"]
            elif service.direction == "outbound" and self.chance(0.35):
                state = self.random.choice(("", "ct state untracked "))
                lines += [f"{service.protocol} sport {service.port} {state}accept"]
        lines += ["ct state untracked accept"] if self.chance(0.08) else []
        return lines + ([self.random.choice(("reject", "reject with tcp reset"))] if self.chance(0.25) else [])

    def _forward(self) -> list[str]:
        lines = [self.random.choice(NFT_RETURNING)] if self.chance(0.85) else []
        lines += ['iifname "eth1" oifname "eth0" accept'] if self.chance(0.5) else []
        lines += [f"{s.protocol} dport {s.port} accept" for s in self.services if self.chance(0.6)]
        return lines
