"""Made-up hosts with iptables, as people write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from conntrim.lab.held.services import BEHIND, FAMILIES, OUTER, PINS, SIDES, Service, services
from conntrim.lab.script import Block, Line, Script, Sheet


def xt(random: Random) -> Script:
    """Tables for iptables-restore."""
    own = services(random)
    sheets = [sheet for family in random.choice(FAMILIES) for sheet in Xt(random, family, own).sheets()]
    return Script("iptables-restore", tuple(sheets))


NOTRACKS = ("-j CT --notrack", "-j CT --notrack", "-j NOTRACK")
RETURNING = "-m conntrack --ctstate RELATED,ESTABLISHED"


@dataclass(frozen=True, slots=True)
class Xt:
    """One family's tables."""

    random: Random
    family: str
    services: list[Service]

    def chance(self, odds: float) -> bool:
        """Whether something happens."""
        return self.random.random() < odds

    def sheets(self) -> Iterator[Sheet]:
        """The tables."""
        yield self.raw()
        if self.chance(0.15):
            yield self.mangle()
        if self.chance(0.35):
            yield self.nat()
        yield self.filter()

    # --- raw ---

    def raw(self) -> Sheet:
        """The untracking rules, what stands before them, and what else raw is for."""
        chains = self._preamble()
        for service in self.services:
            for hook, line in self._untracking(service):
                chains[hook].append(line)
        for hook, line in self._sweeping():
            chains[hook].append(line)
        for lines in chains.values():
            if self.chance(0.15):
                self.random.shuffle(lines)
        users: tuple[Block, ...] = ()
        if self.chance(0.12) and chains["PREROUTING"]:
            users = (Block("FAST", "-", _without_interfaces(chains["PREROUTING"])),)
            chains["PREROUTING"] = [Line(self._some_match(), "-j FAST")]
            chains["OUTPUT"] = [Line((), "-j FAST"), *chains["OUTPUT"]] if self.chance(0.5) else chains["OUTPUT"]
        return Sheet(self.family, "raw", (*(Block(h, "ACCEPT", tuple(lines)) for h, lines in chains.items()), *users))

    def _preamble(self) -> dict[str, list[Line]]:
        """What stands before the untracking rules."""
        chains: dict[str, list[Line]] = {"PREROUTING": [], "OUTPUT": []}
        if self.chance(0.2):
            chains["PREROUTING"].append(Line(("-i lo",), "-j ACCEPT"))
            chains["OUTPUT"].append(Line(("-o lo",), "-j ACCEPT"))
        if self.chance(0.08):
            match = self._some_match()
            hook = "PREROUTING" if match == ("-i eth0",) else self.random.choice(list(chains))
            chains[hook].append(Line(match, "-j CT --zone 5"))
        if self.chance(0.12) and self.family == "ip":
            chains["PREROUTING"].append(Line(("-p tcp", "--dport 21"), "-j CT --helper ftp"))
            if self.chance(0.5):
                chains["OUTPUT"].append(Line(("-p tcp", "--dport 21"), "-j CT --helper ftp"))
        return chains

    def _untracking(self, service: Service) -> Iterator[tuple[str, Line]]:
        sides = self.random.choice(SIDES)
        target, wrong = self.random.choice(NOTRACKS), self.chance(0.06)
        port, device, pin, flags = self._port(service), self._device(service), self._pin(service), self._flags(service)
        for side in sides:
            hook, way = service.legs[side]
            way = {"sport": "dport", "dport": "sport"}[way] if wrong else way
            matches = [device(hook), pin(hook, way), f"-p {service.protocol}", port(way), flags(way)]
            yield hook, Line(tuple(filter(None, matches)), target)

    def _port(self, service: Service) -> Callable[[str], str]:
        others = self.random.sample((22, 80, 443, 3306), 2)
        kind = self.random.random()
        if kind < 0.75:
            return lambda way: f"--{way} {service.port}"
        if kind < 0.85:
            listed = ",".join(map(str, sorted({service.port, *others})))
            return lambda way: f"-m multiport --{way}s {listed}"
        if kind < 0.9:
            return lambda way: f"--{way} {self.random.choice(('10240:65000', '32768:60999', '1024:65535'))}"
        sets = {"sport": "src", "dport": "dst"}
        return lambda way: f"--{way} {service.port} -m set --match-set ports {sets[way]}"

    def _device(self, service: Service) -> Callable[[str], str]:
        if service.direction == "loopback":
            return lambda hook: "-o lo"
        kind = self.random.random()
        flag = {"PREROUTING": "-i", "OUTPUT": "-o"}
        if kind < 0.6:
            return lambda hook: ""
        if kind < 0.8:
            return lambda hook: f"{flag[hook]} eth0"
        if kind < 0.9:
            return lambda hook: f"! {flag[hook]} lo"
        return lambda hook: "-i eth1" if hook == "PREROUTING" else ""

    def _pin(self, service: Service) -> Callable[[str, str], str]:
        kind, pin = self.random.random(), self.random.choice(PINS[self.family])
        own = OUTER[self.family]

        def peer(hook: str, way: str) -> str:
            inward = hook == "PREROUTING" if service.direction != "forwarded" else way == "sport"
            return f"{'-s' if inward else '-d'} {pin}"

        def ours(hook: str, way: str) -> str:
            return f"{'-d' if hook == 'PREROUTING' else '-s'} {own}"

        def local(hook: str, way: str) -> str:
            return f"-m addrtype --{'dst' if hook == 'PREROUTING' else 'src'}-type LOCAL"

        def listed(hook: str, way: str) -> str:
            name = "web4" if self.family == "ip" else "web6"
            return f"-m set --match-set {name} {'src' if hook == 'PREROUTING' else 'dst'}"

        if kind < 0.62:
            return lambda hook, way: ""
        return peer if kind < 0.82 else ours if kind < 0.9 else local if kind < 0.96 else listed

    def _flags(self, service: Service) -> Callable[[str], str]:
        if service.protocol != "tcp" or self.chance(0.9):
            return lambda way: ""
        if self.chance(0.5):
            return lambda way: "! --syn" if way == "sport" else ""
        return lambda way: "--syn" if way == "dport" else ""

    def _some_match(self) -> tuple[str, ...]:
        return self.random.choice(((), (), ("-i eth0",), (f"-s {self.random.choice(PINS[self.family])}",)))[:1]

    def _sweeping(self) -> Iterator[tuple[str, Line]]:
        """Rules about much more than a service."""
        icmp = "icmp" if self.family == "ip" else "ipv6-icmp"
        kinds = (
            ("PREROUTING", (), 0.02), ("PREROUTING", ("-i eth0",), 0.03), ("OUTPUT", ("-o eth0",), 0.02),
            ("PREROUTING", (f"-p {icmp}",), 0.03), ("OUTPUT", (f"-p {icmp}",), 0.05), ("OUTPUT", ("-o lo",), 0.03),
            ("PREROUTING", ("-p udp",), 0.03), ("OUTPUT", ("-p udp",), 0.02), ("PREROUTING", ("-i lo",), 0.03),
            ("PREROUTING", ("-m conntrack --ctstate NEW",), 0.02), ("PREROUTING", ("-m mark --mark 1",), 0.03),
            ("OUTPUT", ("-p tcp", "--dport 21"), 0.03), ("PREROUTING", ("-p tcp", "--dport 21"), 0.03),
        )  # fmt: skip
        for hook, matches, odds in kinds:
            if self.chance(odds):
                yield hook, Line(matches, "-j CT --notrack")

    # --- the other tables ---

    def mangle(self) -> Sheet:
        """Marks that entries keep, or limits that count them."""
        lines = self.random.choice((
            {"PREROUTING": ["-j CONNMARK --restore-mark", "-m mark --mark 0 -i eth0 -j MARK --set-mark 1",
                            "-j CONNMARK --save-mark"]},
            {"PREROUTING": ["-i eth0 -m conntrack --ctstate NEW -j CONNMARK --set-mark 1"],
             "OUTPUT": ["-j CONNMARK --restore-mark"]},
            {"PREROUTING": ["-p tcp --dport 80 -m connlimit --connlimit-above 100 -j DROP"]},
        ))  # fmt: skip
        return Sheet(self.family, "mangle", tuple(Block(k, "ACCEPT", _parsed(v)) for k, v in lines.items()))

    def nat(self) -> Sheet:
        """What a gateway or a host of containers translates."""
        protocol, port = self.random.choice([(s.protocol, s.port) for s in self.services] + [("tcp", 80)])
        to = BEHIND[self.family]
        target = f"[{to}]:8080" if self.family == "ip6" else f"{to}:8080"
        source = "203.0.113.200" if self.family == "ip" else "2001:db8:2::200"
        post = [line for line in ("-o eth0 -j MASQUERADE", f"-o eth0 -j SNAT --to-source {source}",
                                  f"-s {PINS[self.family][3]} -o eth0 -j MASQUERADE") if self.chance(0.4)]  # fmt: skip
        before = [line for line in (
            f"-i eth0 -p {protocol} --dport {port} -j DNAT --to-destination {to}",
            f"-p {protocol} --dport {port} -j DNAT --to-destination {target}",
            f"-p {protocol} --dport {port} -m addrtype --dst-type LOCAL -j DNAT --to-destination {target}",
            f"-p {protocol} --dport 8443 -j REDIRECT --to-ports {port}",
            f"-p {protocol} --dport {port} -j REDIRECT --to-ports 3306",
        ) if self.chance(0.22)]  # fmt: skip
        chains = {"PREROUTING": before, "POSTROUTING": post or ["-o eth0 -j MASQUERADE"]}
        return Sheet(self.family, "nat", tuple(Block(k, "ACCEPT", _parsed(v)) for k, v in chains.items()))

    def filter(self) -> Sheet:
        """The filter: policy, state, services, refusals."""
        blocks = [
            Block("INPUT", "DROP" if self.chance(0.75) else "ACCEPT", _parsed(self._input())),
            Block("FORWARD", "DROP" if self.chance(0.6) else "ACCEPT", _parsed(self._forward())),
            Block("OUTPUT", "DROP" if self.chance(0.15) else "ACCEPT", _parsed(self._output())),
        ]
        return Sheet(self.family, "filter", tuple(blocks))

    def _returning(self) -> str:
        state = self.random.choice((RETURNING, RETURNING, "-m state --state ESTABLISHED,RELATED"))
        untracked = self.chance(0.35)
        return f"{state}{',UNTRACKED' if untracked else ''} -j ACCEPT"

    def _refusal(self) -> str:
        kinds = {"ip": ("-j REJECT", "-j REJECT --reject-with icmp-host-prohibited",
                        "-p tcp -j REJECT --reject-with tcp-reset"),
                 "ip6": ("-j REJECT", "-j REJECT --reject-with icmp6-adm-prohibited",
                         "-p tcp -j REJECT --reject-with tcp-reset")}  # fmt: skip
        return self.random.choice(kinds[self.family])

    def _input(self) -> list[str]:
        lines = ["-i lo -j ACCEPT"] if self.chance(0.75) else []
        lines += [self._returning()] if self.chance(0.9) else []
        if self.chance(0.4):
            lines.insert(self.random.choice((0, len(lines))), "-m conntrack --ctstate INVALID -j DROP")
        icmp = "icmp" if self.family == "ip" else "ipv6-icmp"
        lines += [f"-p {icmp} -j ACCEPT"] if self.chance(0.55) else []
        lines += ["-p tcp --dport 22 -j ACCEPT"] if self.chance(0.6) else []
        for service in self.services:
            lines += self._accepts(service)
        lines += ["-m conntrack --ctstate UNTRACKED -j ACCEPT"] if self.chance(0.08) else []
        if self.chance(0.06):
            lines += ["-p tcp --dport 22 -m recent --name ssh --set",
                      "-p tcp --dport 22 -m recent --name ssh --update --hitcount 4 --seconds 60 -j DROP"]  # fmt: skip
        if self.chance(0.08):
            lines += self._proxied(lines)
        return lines + ([self._refusal()] if self.chance(0.4) else [])

    def _proxied(self, before: list[str]) -> list[str]:
        """SYNPROXY as its manual page has it; the raw rule is one of `_untracking`'s, or is not there."""
        port = next((s.port for s in self.services if (s.direction, s.protocol) == ("inbound", "tcp")), 80)
        before.clear()
        return [f"-p tcp --dport {port} -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY --sack-perm --timestamp"
                " --wscale 7 --mss 1460", "-m conntrack --ctstate INVALID -j DROP", RETURNING + " -j ACCEPT",
                f"-p tcp --dport {port} -j ACCEPT"]  # fmt: skip

    def _accepts(self, service: Service) -> Iterator[str]:
        if service.direction == "inbound":
            state = self.random.choice(("", " -m conntrack --ctstate NEW", " -m conntrack --ctstate NEW,UNTRACKED"))
            if self.chance(0.9):
                yield f"-p {service.protocol} --dport {service.port}{state} -j ACCEPT"
        elif service.direction == "outbound" and self.chance(0.35):
            state = self.random.choice(("", " -m conntrack --ctstate UNTRACKED"))
            yield f"-p {service.protocol} --sport {service.port}{state} -j ACCEPT"

    def _forward(self) -> list[str]:
        lines = [self._returning()] if self.chance(0.85) else []
        if self.chance(0.3):
            lines.insert(self.random.choice((0, len(lines))), "-m conntrack --ctstate INVALID -j DROP")
        lines += ["-i eth1 -o eth0 -j ACCEPT"] if self.chance(0.5) else []
        for service in self.services:
            if self.chance(0.6):
                lines.append(f"-p {service.protocol} --dport {service.port} -j ACCEPT")
        lines += [f"-d {BEHIND[self.family]} -j ACCEPT"] if self.chance(0.3) else []
        return lines + ([self._refusal()] if self.chance(0.2) else [])

    def _output(self) -> list[str]:
        lines = ["-m conntrack --ctstate INVALID -j DROP"] if self.chance(0.25) else []
        lines += ["-o lo -j ACCEPT"] if self.chance(0.3) else []
        if self.chance(0.3):
            lines += [self._returning(), "-m conntrack --ctstate NEW -j ACCEPT"]
        return lines


def _parsed(texts: list[str]) -> tuple[Line, ...]:
    """Lines from whole rules: the target apart, so that a rule shrinks by its matches."""
    found = []
    for text in texts:
        matches, target, rest = f" {text}".partition(" -j ")
        found.append(Line((matches.strip(),) if matches.strip() else (), f"-j {rest}" if target else ""))
    return tuple(found)


def _without_interfaces(lines: list[Line]) -> tuple[Line, ...]:
    """Rules for a chain that OUTPUT jumps to as well: it must name no interface of PREROUTING."""
    return tuple(Line(tuple(m for m in line.matches if "-i " not in m), line.effect) for line in lines)
