"""Every match and target of iptables 1.8.11 with every option: read, known by name, and nothing of it dropped.

That the list is complete is held against the programs' own help by `tests/lab/test_versions.py`.
"""

from __future__ import annotations

import pytest

from conntrim.core.model.errors import InputError
from conntrim.core.model.ruleset import OpaqueMatch, OpaqueStatement, Rule, TableFamily
from conntrim.core.parse.xt.options import MATCHES, TARGETS
from conntrim.core.parse.xt.save import read_save

V6 = frozenset({
    "DNPT", "HL", "SNPT", "dst", "eui64", "frag", "hbh", "hl", "icmp6", "icmpv6", "ipv6-icmp", "ipv6header", "mh", "rt",
    "srh",
})  # fmt: skip
"""Those of ip6tables alone."""

PROTOCOL = {
    "tcp": "tcp", "udp": "udp", "udplite": "udplite", "sctp": "sctp", "dccp": "dccp", "icmp": "icmp", "esp": "esp",
    "ah": "ah", "icmp6": "icmpv6", "icmpv6": "icmpv6", "ipv6-icmp": "icmpv6", "multiport": "tcp", "tcpmss": "tcp",
    "ecn": "tcp", "mh": "mh",
}  # fmt: skip
"""-p, where the match wants it."""

WORDS: dict[str, str] = {
    "src-type": "LOCAL", "dst-type": "LOCAL", "bytecode": '"1,6 0 0 0"', "object-pinned": "/sys/fs/bpf/x", "path": "/a",
    "comment": "why", "connbytes": "10:20", "connbytes-dir": "both", "connbytes-mode": "packets", "label": "home",
    "mark": "0x7/0xff", "ctstate": "NEW", "state": "NEW", "ctproto": "6", "ctorigsrc": "192.0.2.7",
    "ctorigdst": "192.0.2.7", "ctreplsrc": "192.0.2.7", "ctrepldst": "192.0.2.7", "ctstatus": "ASSURED",
    "ctexpire": "5:9", "ctdir": "REPLY", "sport": "77", "dport": "77", "source-port": "77", "destination-port": "77",
    "dccp-types": "REQUEST", "dscp-class": "EF", "ecn-ip-ect": "2", "hashlimit": "9/sec", "hashlimit-upto": "9/sec",
    "hashlimit-above": "9/sec", "hashlimit-mode": "srcip", "hashlimit-name": "hl", "helper": "ftp",
    "icmp-type": "3", "icmpv6-type": "1", "src-range": "192.0.2.5-192.0.2.9", "dst-range": "192.0.2.5-192.0.2.9",
    "header": "frag", "vproto": "6", "vaddr": "192.0.2.7", "vdir": "ORIGINAL", "vmethod": "GATE",
    "length": "40:60", "limit": "3/min", "mac-source": "02:00:00:00:00:07", "mh-type": "1", "sports": "7,8",
    "source-ports": "7,8", "dports": "7,8", "destination-ports": "7,8", "ports": "7,8", "nfacct-name": "acct",
    "genre": "Linux", "uid-owner": "1007", "gid-owner": "1007", "physdev-in": "p7", "physdev-out": "p7",
    "pkt-type": "multicast", "dir": "in", "pol": "ipsec", "proto": "esp", "mode": "tunnel", "tunnel-src": "192.0.2.7",
    "tunnel-dst": "192.0.2.7", "rateest": "re", "rateest1": "re1", "rateest2": "re2", "name": "door",
    "mask": "255.255.255.0", "chunk-types": "any DATA", "match-set": "pool src", "set": "pool src", "algo": "bm",
    "string": "GET", "hex-string": '"|0d0a|"', "tcp-flags": "SYN,ACK SYN", "timestart": "08:00:00",
    "timestop": "09:00:00", "datestart": "2026-01-01T00:00:00", "datestop": "2026-02-01T00:00:00", "monthdays": "1,2",
    "weekdays": "Mon", "u32": '"0=0x45"', "srh-psid": "2001:db8::/64", "srh-nsid": "2001:db8::/64",
    "srh-lsid": "2001:db8::/64", "srh-next-hdr": "17", "rt-0-addrs": "2001:db8::1", "type": "drop",
    "set-class": "1:2", "hashmode": "sourceip", "clustermac": "01:00:5e:00:00:07", "set-xmark": "0x7/0xff",
    "set-mark": "0x7", "ctmask": "0xff", "nfmask": "0xff", "to-destination": "192.0.2.7", "to-source": "192.0.2.7",
    "src-pfx": "2001:db8::/64", "dst-pfx": "2001:db8:1::/64", "set-dscp-class": "EF", "hmark-tuple": "src,dst",
    "rateest-name": "re", "rateest-interval": "250ms", "rateest-ewmalog": "0.5s", "reject-with": "tcp-reset",
    "selctx": "system_u:object_r:x_t", "add-set": "pool src", "del-set": "pool src", "map-set": "pool src",
    "strip-options": "sack-permitted", "gateway": "192.0.2.7", "oif": "e7", "on-ip": "192.0.2.7",
    "queue-balance": "0:3",
    "ctevents": "new", "expevents": "new", "led-trigger-id": "led", "to": "192.0.2.0/24", "log-prefix": "x",
    "nflog-prefix": "x", "ulog-prefix": "x", "set-tos": "0x10", "mode-statistic": "random", "policy": "p",
    "hashlimit-rate-interval": "5", "probability": "0.25", "tproxy-mark": "0x1/0x1",
}  # fmt: skip
"""What stands behind an option; 7 where nothing is said."""

OTHERWISE: dict[tuple[str, str], str] = {
    ("statistic", "mode"): "nth", ("NETMAP", "to"): "198.51.100.0/24", ("string", "to"): "99", ("CT", "helper"): "ftp",
    ("CT", "timeout"): "patient", ("IDLETIMER", "label"): "idle", ("connlimit", "connlimit-mask"): "24",
    ("MASQUERADE", "to-ports"): "1024-2047", ("REDIRECT", "to-ports"): "8080", ("mark", "mark"): "0x7/0xff",
    ("rateest", "rateest-bps"): "", ("rateest", "rateest-bps1"): "", ("rateest", "rateest-bps2"): "",
    ("rateest", "rateest-pps"): "", ("rateest", "rateest-pps1"): "", ("rateest", "rateest-pps2"): "",
    ("ttl", "ttl"): "64", ("CONNMARK", "mask"): "0xff",
}  # fmt: skip

BESIDE: dict[str, str] = {
    "DNAT": "--to-destination 192.0.2.9",
    "SNAT": "--to-source 192.0.2.9",
    "NETMAP": "",
    "MARK": "",
    "CONNMARK": "",
    "set": "--match-set pool src",
    "CT": "",
}
"""Options without which others of the same module mean nothing."""

ALL = [(kind, module, option)
       for kind, grammar in (("-m", MATCHES), ("-j", TARGETS)) for module, options in grammar.items()
       for option in options or ("",)]  # fmt: skip

TABLES = {"DNAT": "nat", "SNAT": "nat", "MASQUERADE": "nat", "REDIRECT": "nat", "NETMAP": "nat"}


def read(kind: str, module: str, options: str) -> Rule:
    """The one rule of a table that says so."""
    family = TableFamily.IP6 if module in V6 else TableFamily.IP
    before = f"-p {PROTOCOL[module]} " if module in PROTOCOL else ""
    line = f"-A PREROUTING {before}{kind} {module} {options}".rstrip()
    text = f"*{TABLES.get(module, 'mangle')}\n:PREROUTING ACCEPT [0:0]\n{line}\nCOMMIT\n"
    (table,) = read_save(text, "rules", family).tables
    (rule,) = table.rules()
    return rule


def written(module: str, option: str, arity: int) -> str:
    """An option with what stands behind it."""
    value = OTHERWISE.get((module, option), WORDS.get(option, "7")) if arity else ""
    return f"--{option} {value}".rstrip()


@pytest.mark.parametrize(("kind", "module", "option"), ALL, ids=lambda part: part or "bare")
def test_an_option_is_read_and_counts(kind: str, module: str, option: str) -> None:
    """It is read, and the rule says another thing than without it: typed, or opaque by the module's name."""
    grammar = (MATCHES if kind == "-m" else TARGETS)[module]
    said = written(module, option, grammar[option]) if option else ""
    beside = BESIDE.get(module, "")
    if beside.split()[:1] == [f"--{option}"]:
        beside = ""
    rule = read(kind, module, f"{beside} {said}".strip())
    try:
        bare = read(kind, module, beside)
    except InputError:  # it wants an option
        bare = None
    if bare is not None and option and (module, option) not in SILENT:
        assert (rule.matches, rule.statements) != (bare.matches, bare.statements)
    opaque = [
        part.kind for part in (*rule.matches, *rule.statements) if isinstance(part, OpaqueMatch | OpaqueStatement)
    ]
    assert set(opaque) <= {module, "protocol"}


SILENT = frozenset({("comment", "comment"), ("recent", "rsource")})
"""Options that say nothing about packets, or what is so without them."""


@pytest.mark.parametrize("line", ["-m ndpi --proto quic --hmaster", "-m geoip ! --source-country DE,FR", "-m xyz"])
def test_a_match_of_somebody_s_own_module_is_opaque_by_its_name(line: str) -> None:
    """With all of its words."""
    module, _, options = line.removeprefix("-m ").partition(" ")
    (match,) = read("-m", module, options).matches
    assert isinstance(match, OpaqueMatch)
    assert (module, options) == (match.kind, match.text)


@pytest.mark.parametrize("line", ["-j RTPENGINE --id 7", "-j NDPI --value 3 --clsfy", "-j TS3INIT --random-seed ab"])
def test_a_target_of_somebody_s_own_module_is_opaque_by_its_name(line: str) -> None:
    """And no chain that is missing."""
    module, _, options = line.removeprefix("-j ").partition(" ")
    (done,) = read("-j", module, options).statements
    assert isinstance(done, OpaqueStatement)
    assert (module, options) == (done.kind, done.text)
