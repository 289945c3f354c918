"""Made-up rule sets in both dialects: every kind of match and statement that has a meaning, in every odd order.

The same seed makes the same rule set. Addresses and ports are those of `talk.py`, so that rules and packets meet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from conntrim.core.netfilter.hooks import DEFRAG
from conntrim.lab.script import Block, Line, Script, Sheet
from conntrim.lab.translations import nft_translation, xt_translation
from conntrim.lab.words import NFT_EARLY_MATCHES, NFT_MATCHES, XT_MATCHES, Words

XT_HOOKS: dict[str, tuple[str, ...]] = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}
"""iptables' tables and their chains."""

NFT_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")

PRIORITIES = (-401, -400, -399, -310, -300, -300, -300, -290, -201, -190, -150, -100, 0, 0, 0, 10, 50, 100, 300)
"""Where nft's chains hang: often raw and filter, so that ties occur (K2). Not at -200 and -199, where conntrack and the
observer are."""

XT_EFFECTS: dict[str, tuple[str, ...]] = {
    "raw": ("-j CT --notrack", "-j CT --notrack", "-j CT --notrack", "-j NOTRACK", "-j CT --zone 5",
            "-j CT --zone-orig 6", "-j ACCEPT", "-j DROP", "-j RETURN", ""),
    "mangle": ("-j MARK --set-mark 1", "-j MARK --set-xmark 0x2/0x3", "-j MARK --or-mark 4", "-j ACCEPT", "-j DROP",
               "-j CONNMARK --set-mark 1", "-j CONNMARK --set-xmark 0x2/0x3", "-j CONNMARK --save-mark",
               "-j CONNMARK --save-mark --nfmask 0x3 --ctmask 0xf", "-j CONNMARK --restore-mark",
               "-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0x3", "-j RETURN", ""),
    "filter": ("-j ACCEPT", "-j ACCEPT", "-j DROP", "-j REJECT", "-j RETURN", ""),
    "security": ("-j ACCEPT", "-j DROP", "-j RETURN"),
    "nat": ("-j ACCEPT", "-j RETURN", ""),
}  # fmt: skip
"""What rules do, by table; a table's odds are its repetitions."""

NFT_EFFECTS = (
    "accept", "accept", "accept", "drop", "drop", "return", "reject", "counter", "counter accept", "log group 99",
    "ct mark set 1", "ct mark set meta mark", "meta mark set ct mark", "ct mark set ct mark | 4",
    "ct mark set 5 accept", "meta mark set ct mark & 0x3 accept",
    "meta mark set 1", "meta mark set meta mark | 4", "meta mark set 2 accept",
    "notrack", "ct zone set 5", "ct original zone set 6",
    "tcp dport vmap { 22 : drop, 80 : accept, 443-1000 : continue }", "tcp dport vmap @what", "th dport vmap @what",
    "ct state vmap @whose", "ct state vmap { invalid : drop, new : accept }",
    "ip dscp set cs1 drop", "ip6 dscp set af11", "ip ttl set 64 drop", "ip6 hoplimit set 64 drop", "ip ecn set ce",
    "meta priority set 1:2 accept", "tcp option maxseg size set 1000 drop", "ip dscp set ef", "ip6 ecn set ect0",
    "meta mark set tcp dport map { 22 : 1, 80 : 2, 443-1000 : 4 } accept", "meta mark set tcp sport map @marks",
    "meta mark set ip saddr map { 192.0.2.0/28 : 1, 203.0.113.0/24 : 2 } drop",
    "ct mark set udp dport map { 53 : 1, 80 : 5 }", "tcp dport vmap { 22 : drop, * : continue }",
    "tcp sport vmap @rest", "meta l4proto . th dport vmap { tcp . 22 : drop, udp . 53 : accept }",
    "numgen inc mod 2 vmap { 0 : drop, 1 : drop }", "jhash ip saddr mod 3 vmap { 0 : accept, 1 : accept, 2 : accept }",
    "meta mark set numgen random mod 2 map { 0 : 1, 1 : 1 } accept",
    "add @flows4 { ip saddr . tcp sport . ip daddr . tcp dport }",
    "update @flows6 { ip6 saddr . tcp sport . ip6 daddr . tcp dport timeout 1m } accept",
    'ct timeout set "patient" accept', 'ct expectation set "another" drop',
)  # fmt: skip
RAW_EFFECTS = ("notrack", "notrack", "notrack", "ct zone set 5", "ct original zone set 6", "accept", "drop", "return")
REWRITES = ("tcp dport set 8080", "udp sport set 5353", "ip daddr set 198.51.100.7", "tcp dport set 80 notrack")
"""Without an entry and before conntrack, where packets come in: what answers them is not turned back."""

REJECTS: dict[str, tuple[str, ...]] = {
    "ip": ("", "--reject-with icmp-host-prohibited", "--reject-with icmp-admin-prohibited"),
    "ip6": ("", "--reject-with icmp6-adm-prohibited", "--reject-with icmp6-addr-unreachable"),
}
NFT_REJECTS = ("reject", "reject with icmpx type admin-prohibited", "reject with icmpx type port-unreachable")


def ruleset(random: Random) -> Script:
    """One rule set."""
    return random.choice((xt, nft))(random)


# --- iptables -------------------------------------------------------------------------------------------------------


def xt(random: Random) -> Script:
    """Tables for iptables-restore, for one or both families."""
    families = random.choice((("ip",), ("ip6",), ("ip", "ip6")))
    return Script("iptables-restore", tuple(sheet for family in families for sheet in _xt_sheets(random, family)))


def _xt_sheets(random: Random, family: str) -> list[Sheet]:
    names = [name for name, odds in (("raw", 0.9), ("mangle", 0.3), ("filter", 0.9), ("security", 0.1), ("nat", 0.4))
             if random.random() < odds]  # fmt: skip
    return [_xt_sheet(random, family, name) for name in names or ["filter"]]


def _xt_sheet(random: Random, family: str, name: str) -> Sheet:
    users = [f"USER{i}" for i in range(random.choice((0, 0, 1, 2)))]
    hooks = [h for h in XT_HOOKS[name] if random.random() < 0.8] or [XT_HOOKS[name][0]]
    blocks = [
        Block(
            hook, "DROP" if random.random() < 0.15 else "ACCEPT", _lines(random, 7, _xt_line(family, name, hook, users))
        )
        for hook in hooks
    ]
    # A user's chain may be called from every hook: no interface that one of them does not have, no late jump back.
    later = [
        Block(user, "-", _lines(random, 4, _xt_line(family, name, "", users[i + 1 :]))) for i, user in enumerate(users)
    ]
    return Sheet(family, name, (*blocks, *later))


def _xt_line(family: str, table: str, hook: str, users: Sequence[str]) -> Callable[[Random], Line]:
    def make(random: Random) -> Line:
        words = Words(random, family, hook.lower())
        effect = random.choice(XT_EFFECTS[table])
        if users and random.random() < 0.25:
            effect = f"{random.choice(('-j', '-j', '-g'))} {random.choice(users)}"
        matches = words.some(XT_MATCHES)
        if table == "nat" and hook and random.random() < 0.7:
            effect = xt_translation(words, any(m.startswith(("-p tcp", "-p udp")) for m in matches))
        if random.random() < 0.06:
            matches, effect = _seen(words, effect if table in ("filter", "mangle") else "-j ACCEPT")
        if table in ("raw", "mangle") and hook == "PREROUTING" and random.random() < 0.08:
            matches = (*matches, f"-m rpfilter{random.choice(('', ' --invert', ' --loose', ' --loose --invert'))}")
        if table == "mangle" and hook == "PREROUTING" and random.random() < 0.06:
            matches, effect = (f"-p tcp --dport {words.port()}",), "-j TPROXY --on-port 5000 --tproxy-mark 0x1/0x1"
        if table == "filter" and hook in ("INPUT", "FORWARD") and random.random() < 0.06:
            states = ("-m conntrack --ctstate INVALID,UNTRACKED",) if random.random() < 0.7 else ()
            matches = (f"-p tcp -m tcp --dport {words.port()}", *states)
            effect = "-j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460"
        if effect == "-j REJECT":
            reset = any(m.startswith("-p tcp") for m in matches) and random.random() < 0.5
            effect = f"{effect} {'--reject-with tcp-reset' if reset else random.choice(REJECTS[family])}".strip()
        return Line(matches, effect)

    return make


def _seen(words: Words, effect: str) -> tuple[tuple[str, ...], str]:
    """An ipset that rules fill, and ask: of one service only, so that its elements tell a dialogue from all others."""
    name = f"seen{'4' if words.family == 'ip' else '6'} src,src,dst"
    if words.random.random() < 0.5:
        return ("-p tcp --dport 80",), f"-j SET --add-set {name}{words.random.choice(('', ' --exist'))}"
    return (f"-p tcp --dport 80 -m set {words.maybe_not()}--match-set {name}",), effect


# --- nft ------------------------------------------------------------------------------------------------------------


def nft(random: Random) -> Script:
    """One or two nft tables."""
    count = random.choice((1, 1, 2))
    sheets = [_nft_sheet(random, f"t{i}") for i in range(count)]
    if random.random() < 0.2:
        sheets.append(Sheet("netdev", "early", (_ingress(random, "netdev"),), SETS))
    return Script("nft", tuple(sheets))


def _nft_sheet(random: Random, name: str) -> Sheet:
    family = random.choice(("inet", "inet", "ip", "ip6"))
    users = [f"user{i}" for i in range(random.choice((0, 0, 1, 2)))]
    later = [
        Block(user, "", _lines(random, 4, _nft_line(family, "", 0, users[i + 1 :]))) for i, user in enumerate(users)
    ]
    bases = [_nft_base(random, family, f"base{i}", users) for i in range(random.randint(2, 5))]
    if family == "inet" and random.random() < 0.2:
        bases.append(_ingress(random, family))
    return Sheet(family, name, (*reversed(later), *bases), (*SETS, *(text.format(_l3(family)) for text in OBJECTS)))


def _l3(family: str) -> str:
    return "ip6" if family == "ip6" else "ip"


OBJECTS = (
    "ct timeout patient {{ protocol tcp; l3proto {}; policy = {{ established : 100, close : 4 }}\n }}",
    "ct expectation another {{ protocol tcp; dport 9876; timeout 2m; size 12; l3proto {}\n }}",
)
"""Objects of every table, for its family."""


SETS = (
    "set ports { type inet_service; flags interval; elements = { 80, 443, 4000-5000 }\n }",
    "set nets4 { type ipv4_addr; flags interval; elements = { 192.0.2.0/28, 203.0.113.0/24 }\n }",
    "set nets6 { type ipv6_addr; flags interval; elements = { 2001:db8::/124, 2001:db8:2::/64 }\n }",
    "set pairs4 { type ipv4_addr . inet_service; flags interval;"
    " elements = { 192.0.2.1 . 80, 192.0.2.0/24 . 22-53 }\n }",
    "set pairs6 { type ipv6_addr . inet_service; flags interval;"
    " elements = { 2001:db8::1 . 80, 2001:db8::/64 . 22-53 }\n }",
    "set timed4 { type ipv4_addr; flags timeout; elements = { 192.0.2.9 timeout 1h, 203.0.113.7 timeout 2h }\n }",
    "set timed6 { type ipv6_addr; flags timeout; elements = { 2001:db8::9 timeout 1h, 2001:db8:2::7 timeout 2h }\n }",
    "set services { type inet_proto . inet_service; elements = { tcp . 22, tcp . 443, udp . 53 }\n }",
    "set flows4 { type ipv4_addr . inet_service . ipv4_addr . inet_service; size 65535; flags dynamic,timeout;"
    " timeout 10m\n }",
    "set flows6 { type ipv6_addr . inet_service . ipv6_addr . inet_service; size 65535; flags dynamic,timeout;"
    " timeout 10m\n }",
    "map marks { type inet_service : mark; elements = { 22 : 1, 53 : 2, 80 : 5 }\n }",
    "map rest { type inet_service : verdict; elements = { 80 : accept, 443 : continue, * : drop }\n }",
    "map what { type inet_service : verdict; elements = { 22 : drop, 80 : accept, 443 : return }\n }",
    "map whose { type ct_state : verdict; elements = { invalid : drop, established : accept }\n }",
)
"""Named sets and verdict maps of every table."""


def _ingress(random: Random, family: str) -> Block:
    """A chain where a device's packets come in; what ends a batch passes it."""
    devices = random.choice(('device "eth0"', 'device "eth0"', 'devices = { "eth0", "eth1" }', 'device "lo"'))
    head = f"type filter hook ingress {devices} priority {random.choice((-500, 0, 10))}; policy accept;"
    pool = INGRESS_EFFECTS if family == "netdev" else (*INGRESS_EFFECTS, "notrack")

    def make(random: Random) -> Line:
        words = Words(random, "inet", "prerouting")
        effect, matches = random.choice(pool), _peaceful(words.some(NFT_EARLY_MATCHES))
        return Line(() if effect.startswith("ip ") else matches, effect)  # which may be about the other family

    return Block(f"in_{family}", head, (Line(("meta l4proto 253",), "accept"), *_lines(random, 4, make)))


NFT_SYNPROXY = "synproxy mss 1460 wscale 7 timestamp sack-perm"
NFT_TPROXY = ("tproxy to :5000 accept", "tproxy to :5000 meta mark set 1 drop")
"""No program listens there."""

INGRESS_EFFECTS = ("accept", "accept", "drop", "drop", "return", "meta mark set 1", "counter", "ip dscp set ef")


def _nft_base(random: Random, family: str, name: str, users: Sequence[str]) -> Block:
    hook, priority = random.choice(NFT_HOOKS), random.choice(PRIORITIES)
    if priority < -200:
        hook = random.choice(("prerouting", "output"))
    policy = "drop" if random.random() < 0.1 else "accept"
    kind = "filter"
    if hook != "forward" and priority in (-100, 0, 100) and random.random() < 0.6:
        kind, priority, policy = "nat", {"prerouting": -100, "output": -100}.get(hook, 100), "accept"
    head = f"type {kind} hook {hook} priority {priority}; policy {policy};"
    lines = _lines(random, 6, _nft_line(family, hook, priority, users, nat=kind == "nat"))
    if priority <= DEFRAG and random.random() < 0.5:
        lines = (*lines[1:], Line(Words(random, family, hook).some(NFT_EARLY_MATCHES[1:2]), "notrack"))
    return Block(name, head, lines)


def _nft_line(
    family: str, hook: str, priority: int, users: Sequence[str], nat: bool = False
) -> Callable[[Random], Line]:
    def make(random: Random) -> Line:
        words = Words(random, family, hook)
        effect = _nft_effect(random, family, hook, priority, users, nat=nat)
        matches = _peaceful(words.some(NFT_MATCHES))
        if hook in ("prerouting", "input", "forward") and random.random() < 0.06:
            matches = (*matches, f"fib saddr . iif oif {random.choice(('missing', 'exists'))}")
        if nat and random.random() < 0.7:
            effect = nft_translation(words, matches)
        if (
            effect.startswith(("tcp dport", "th dport"))
            and matches
            and not matches[0].startswith(("tcp", "ct", "meta mark"))
        ):
            effect = "drop"  # nft refuses a port of TCP beside a match of another protocol
        if hook == "prerouting" and not nat and random.random() < 0.04:
            matches, effect = (f"{random.choice(('tcp', 'udp'))} dport {words.port()}",), random.choice(NFT_TPROXY)
        if hook in ("input", "forward") and not nat and random.random() < 0.06:
            states = ("ct state invalid,untracked",) if random.random() < 0.7 else ()
            matches, effect = (f"tcp dport {words.port()}", *states), NFT_SYNPROXY
        if len(_peaceful((*matches, effect))) == len(matches) or not _of_family(effect, family):
            effect = "drop"
        return Line(matches, effect)

    return make


def _nft_effect(random: Random, family: str, hook: str, priority: int, users: Sequence[str], *, nat: bool) -> str:
    """What a rule does at its place."""
    early = priority < -200
    if users and random.random() < 0.2:
        return f"{random.choice(('jump', 'jump', 'goto'))} {random.choice(users)}"
    if hook == "prerouting" and early and random.random() < 0.08:
        return random.choice(REWRITES)
    effect = random.choice(RAW_EFFECTS if early and random.random() < 0.8 else NFT_EFFECTS)
    if nat and effect not in ("accept", "drop", "return"):
        return random.choice(("accept", "accept", "drop"))
    return _taken(random.choice(NFT_REJECTS) if effect == "reject" and family == "inet" else effect, hook, early)


def _taken(effect: str, hook: str, early: bool) -> str:
    """The effect, or another where the kernel would refuse it."""
    if hook in ("postrouting", "") and effect.startswith("reject"):
        return "drop"  # postrouting knows no reject, and a user's chain may be called from there
    # Zones are set where conntrack has not looked yet; elsewhere the kernel refuses them.
    return "accept" if " zone set" in effect and not (hook in ("prerouting", "output") and early) else effect


def _of_family(effect: str, family: str) -> bool:
    """Whether an effect names no header that the table's packets never have."""
    named = f" {effect} "
    return not (family == "ip" and (" ip6 " in named or "flows6" in named)) and not (
        family == "ip6" and (" ip " in named or "flows4" in named)
    )


LAYERS: tuple[dict[str, str], ...] = (
    {"ip ": "ip", "icmp ": "ip", "ip6 ": "ip6", "icmpv6 ": "ip6", "nfproto ipv4": "ip", "nfproto ipv6": "ip6"},
    {"tcp ": "tcp", "udp ": "udp", "icmp ": "icmp", "icmpv6 ": "icmpv6", "l4proto ": "any"},
)
"""What of a match's text tells its network and its transport protocol."""


def _peaceful(matches: tuple[str, ...]) -> tuple[str, ...]:
    """Without what nft refuses beside an earlier match: the other family, another protocol."""
    kept: list[str] = []
    for match in matches:
        spoken = [{of for word, of in layer.items() if f" {word}" in f" {match}"} for layer in LAYERS]
        before = [{of for m in kept for word, of in layer.items() if f" {word}" in f" {m}"} for layer in LAYERS]
        if all(
            not said or not earlier or said == earlier != {"any"} for said, earlier in zip(spoken, before, strict=True)
        ):
            kept.append(match)
    return tuple(kept)


def _lines(random: Random, most: int, make: Callable[[Random], Line]) -> tuple[Line, ...]:
    return tuple(make(random) for _ in range(random.randint(1, most)))
