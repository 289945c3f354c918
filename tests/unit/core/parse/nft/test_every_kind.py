"""Every statement, expression and object of libnftables-json(5), nft 1.1: read, known by name, nothing dropped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conntrim.core.model.ruleset import OpaqueMatch, OpaqueStatement, Rule, Ruleset
from conntrim.core.parse.ruleset import read

Json = Any
PORT = {"payload": {"protocol": "tcp", "field": "dport"}}
SADDR = {"payload": {"protocol": "ip", "field": "saddr"}}

STATEMENTS: dict[str, Json] = {
    "accept": {"accept": None}, "drop": {"drop": None}, "continue": {"continue": None}, "return": {"return": None},
    "jump": {"jump": {"target": "other"}}, "goto": {"goto": {"target": "other"}},
    "counter": {"counter": {"packets": 7, "bytes": 70}}, "counter by name": {"counter": "cnt"},
    "mangle": {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}},
    "mangle a field of ours": {"mangle": {"key": {"payload": {"protocol": "ip", "field": "dscp"}}, "value": 7}},
    "mangle an option": {
        "mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": 1400}
    },
    "quota": {"quota": {"val": 7, "val_unit": "mbytes"}}, "quota by name": {"quota": "q"},
    "limit": {"limit": {"rate": 7, "per": "second"}}, "limit by name": {"limit": "lim"},
    "fwd": {"fwd": {"dev": "e7", "family": "ip", "addr": "192.0.2.7"}}, "notrack": {"notrack": None},
    "dup": {"dup": {"addr": "192.0.2.7", "dev": "e7"}}, "snat": {"snat": {"addr": "192.0.2.7"}},
    "dnat": {"dnat": {"addr": "192.0.2.7", "port": 7}}, "masquerade": {"masquerade": None},
    "redirect": {"redirect": {"port": 7}}, "reject": {"reject": {"type": "tcp reset"}},
    "set": {"set": {"op": "add", "elem": SADDR, "set": "@pool"}},
    "set with a limit": {
        "set": {"op": "update", "elem": SADDR, "set": "@pool", "stmt": [{"limit": {"rate": 7, "per": "second"}}]}
    },
    "map": {"map": {"op": "add", "elem": SADDR, "data": 7, "map": "@marks"}},
    "log": {"log": {"prefix": "x", "group": 7}}, "ct helper": {"ct helper": "helping"},
    "ct timeout": {"ct timeout": "patient"}, "ct expectation": {"ct expectation": "another"},
    "meter": {"meter": {"name": "m", "key": SADDR, "stmt": {"limit": {"rate": 7, "per": "second"}}}},
    "queue": {"queue": {"num": 7, "flags": ["bypass"]}},
    "vmap": {"vmap": {"key": PORT, "data": {"set": [[7, {"drop": None}]]}}}, "ct count": {"ct count": {"val": 7}},
    "xt": {"xt": {"type": "target", "name": "RTPENGINE"}}, "flow": {"flow": {"op": "add", "flowtable": "@ft"}},
    "tproxy": {"tproxy": {"addr": "192.0.2.7", "port": 7}}, "synproxy": {"synproxy": {"mss": 1400}},
    "synproxy by name": {"synproxy": "proxy"}, "reset": {"reset": {"tcp option": {"name": "fastopen"}}},
    "secmark": {"mangle": {"key": {"meta": {"key": "secmark"}}, "value": "sec"}}, "last": {"last": None},
    "tunnel": {"tunnel": "tun"}, "a kind of a later nft": {"xyz": {"of": 7}},
}  # fmt: skip
"""Statements, by what they are called in the manual."""

SILENT = frozenset({"continue"})
"""What does nothing, and stands nowhere."""

LEFTS: dict[str, Json] = {
    "payload": PORT, "raw payload": {"payload": {"base": "th", "offset": 16, "len": 16}},
    "payload of what is inside": {"payload": {"tunnel": "vxlan", "protocol": "ip", "field": "saddr"}},
    "exthdr": {"exthdr": {"name": "frag", "field": "more-fragments"}}, "exthdr is there": {"exthdr": {"name": "mh"}},
    "tcp option": {"tcp option": {"name": "maxseg", "field": "size"}},
    "tcp option by number": {"tcp option": {"base": 30, "offset": 0, "len": 8}},
    "ip option": {"ip option": {"name": "lsrr", "field": "addr"}},
    "sctp chunk": {"sctp chunk": {"name": "data", "field": "flags"}}, "dccp option": {"dccp option": {"type": 7}},
    "rt": {"rt": {"key": "mtu"}}, "ct": {"ct": {"key": "mark"}}, "ct id": {"ct": {"key": "id"}},
    "ct of one direction": {"ct": {"key": "saddr", "family": "ip", "dir": "original"}},
    "numgen": {"numgen": {"mode": "inc", "mod": 7}}, "jhash": {"jhash": {"mod": 7, "expr": SADDR}},
    "symhash": {"symhash": {"mod": 7}}, "fib": {"fib": {"result": "oifname", "flags": ["saddr"]}},
    "fib type": {"fib": {"result": "type", "flags": ["daddr"]}},
    "fib, the way back": {"fib": {"result": "oif", "flags": ["saddr", "iif"]}},
    "xor": {"^": [{"meta": {"key": "mark"}}, 7]}, "shift": {"<<": [{"meta": {"key": "mark"}}, 7]},
    "and": {"&": [{"meta": {"key": "mark"}}, 7]}, "or": {"|": [{"meta": {"key": "mark"}}, 7]},
    "socket": {"socket": {"key": "mark"}}, "osf": {"osf": {"key": "name", "ttl": "loose"}},
    "ipsec": {"ipsec": {"key": "reqid", "dir": "in", "spnum": 0}},
    "a kind of a later nft": {"xyz": {"of": 7}},
    **{f"meta {key}": {"meta": {"key": key}} for key in (
        "length", "protocol", "priority", "random", "mark", "iif", "iifname", "iiftype", "oif", "oifname", "oiftype",
        "skuid", "skgid", "nftrace", "rtclassid", "ibriport", "obriport", "ibridgename", "obridgename", "pkttype",
        "cpu", "iifgroup", "oifgroup", "cgroup", "nfproto", "l4proto", "secpath", "ipsec", "iifkind", "oifkind",
        "ibrpvid", "ibrvproto", "time", "day", "hour", "sdif", "sdifname", "broute", "ibrhwaddr", "zyx",
    )},
}  # fmt: skip
"""What a comparison may have on its left."""

RIGHTS: dict[str, Json] = {
    "a number": 7, "a word": "ssh", "a list": ["syn", "ack"], "a set": {"set": [7, 8]}, "a set by name": "@pool",
    "a prefix": {"prefix": {"addr": "192.0.2.0", "len": 24}}, "a range": {"range": [7, 9]}, "missing": False,
    "an element": {"set": [{"elem": {"val": 7, "timeout": 60, "comment": "x", "expires": 9}}]},
    "another field": {"ct": {"key": "mark"}}, "a kind of a later nft": {"xyz": 7},
}  # fmt: skip
"""And on its right."""

OBJECTS: dict[str, Json] = {
    "set": {"type": "ipv4_addr", "name": "pool", "flags": ["dynamic"]},
    "map": {"type": "ipv4_addr", "map": "mark", "name": "marks"}, "element": {"name": "pool", "elem": ["192.0.2.7"]},
    "flowtable": {"name": "ft", "hook": "ingress", "prio": 0, "dev": "e7"},
    "counter": {"name": "cnt", "packets": 7, "bytes": 70},
    "quota": {"name": "q", "bytes": 70, "used": 7, "inv": False}, "limit": {"name": "lim", "rate": 7, "per": "second"},
    "ct helper": {"name": "helping", "type": "ftp", "protocol": "tcp", "l3proto": "ip"},
    "ct timeout": {"name": "patient", "protocol": "tcp", "l3proto": "ip", "policy": {"close": 7}},
    "ct expectation": {"name": "another", "protocol": "tcp", "dport": 7, "timeout": 60, "size": 7, "l3proto": "ip"},
    "secmark": {"name": "sec", "context": "system_u:object_r:x_t"},
    "synproxy": {"name": "proxy", "mss": 1400, "wscale": 7, "flags": ["timestamp"]},
    "tunnel": {"name": "tun", "id": 7, "src-ipv4": "192.0.2.7", "dst-ipv4": "192.0.2.8"},
    "xyz": {"name": "of a later nft"},
}  # fmt: skip
"""What a table may hold beside chains and rules."""


def table(*expressions: Json, family: str = "ip", objects: dict[str, Json] | None = None) -> Ruleset:
    """A table with a rule of these expressions, and objects by kind."""
    of = {"family": family, "table": "t"}
    hooked = {"type": "filter", "hook": "ingress" if family == "netdev" else "input", "prio": 0, "policy": "accept"}
    dev = {"dev": "e7"} if family == "netdev" else {}
    listed: list[Json] = [
        {"metainfo": {"version": "1.1.3", "json_schema_version": 1}}, {"table": {"family": family, "name": "t"}},
        {"chain": {**of, "name": "other"}}, {"chain": {**of, "name": "c", **hooked, **dev}},
        *({kind: {**of, **content}} for kind, content in (objects or {}).items()),
    ]  # fmt: skip
    rule = {"rule": {**of, "chain": "c", "handle": 7, "expr": list(expressions)}}
    return read(json.dumps({"nftables": [*listed, rule] if expressions else listed}), "rules")


def rules(ruleset: Ruleset) -> tuple[Rule, ...]:
    """The rules of the base chain."""
    return tuple(rule for chain in ruleset.tables[0].chains if chain.name == "c" for rule in chain.rules)


@pytest.mark.parametrize("kind", STATEMENTS)
def test_a_statement_is_read_and_counts(kind: str) -> None:
    """A rule with it says another thing than one without: typed, or opaque by its name."""
    said = rules(table({"counter": None}, STATEMENTS[kind]))
    assert kind in SILENT or said != rules(table({"counter": None}))
    assert said


@pytest.mark.parametrize("kind", LEFTS)
def test_a_comparison_is_read_and_counts(kind: str) -> None:
    """So does a comparison, whatever is compared."""
    compared = {"match": {"op": "==", "left": LEFTS[kind], "right": 7}}
    assert rules(table(compared, {"drop": None})) != rules(table({"drop": None}))


@pytest.mark.parametrize("kind", RIGHTS)
def test_whatever_it_is_compared_with(kind: str) -> None:
    """Against numbers, words, sets, ranges, and what nobody knows."""
    for left in ({"meta": {"key": "mark"}}, {"meta": {"key": "skuid"}}):
        compared = {"match": {"op": "!=", "left": left, "right": RIGHTS[kind]}}
        assert rules(table(compared, {"drop": None})) != rules(table({"drop": None}))


@pytest.mark.parametrize("kind", ["fwd", "dup", "meter", "reset", "last", "tunnel", "a kind of a later nft", "xt"])
def test_what_has_no_type_is_opaque_by_its_name(kind: str) -> None:
    """The name is the kind in nft's JSON, the text all of it."""
    (rule,) = rules(table(STATEMENTS[kind]))
    (name, _), *_ = STATEMENTS[kind].items()
    kinds = [part.kind for part in (*rule.matches, *rule.statements) if hasattr(part, "kind")]
    assert [part for part in kinds if part.split()[0] == name]
    assert any(isinstance(part, OpaqueMatch | OpaqueStatement) for part in (*rule.matches, *rule.statements)) or (
        kind == "last"
    )


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_object_is_kept_or_named(kind: str) -> None:
    """An object stands in its table, or is told as what was not read."""
    there = {"set": OBJECTS["set"]} if kind == "element" else {}
    with_, without = table(objects={**there, kind: OBJECTS[kind]}), table(objects=there)
    assert (with_.tables, with_.unread, with_.remarks) != (without.tables, without.unread, without.remarks)


@pytest.mark.parametrize("family", ["ip", "ip6", "inet", "arp", "bridge", "netdev"])
def test_a_table_of_any_family_is_read(family: str) -> None:
    """Those that see none of our packets too."""
    assert rules(table({"drop": None}, family=family))


def test_a_family_that_is_not_known_is_told_as_unread() -> None:
    """With the table's name: whatever hangs on it is not decided."""
    assert ("rules: table ipx t is of a family that is not known",) == table({"drop": None}, family="ipx").unread
