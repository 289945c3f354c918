"""Documents of libnftables' commands: what nft carries out, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

Command = dict[str, Any]
T = {"family": "ip", "name": "t"}
OF_T = {"family": "ip", "table": "t"}
HOOKED = {"type": "filter", "hook": "input", "prio": 0}
TABLE: Command = {"add": {"table": T}}
CHAIN: Command = {"add": {"chain": {**OF_T, "name": "c", **HOOKED}}}


def rule(port: int, **more: Any) -> Command:
    """A rule about a port, in the chain."""
    left = {"payload": {"protocol": "tcp", "field": "dport"}}
    match = {"match": {"op": "==", "left": left, "right": port}}
    return {"rule": {**OF_T, "chain": "c", "expr": [{"counter": None}, match], **more}}


def named(kind: str, name: str, **more: Any) -> Command:
    """Any other object of the table."""
    return {kind: {**OF_T, "name": name, **more}}


def document(*commands: Command) -> str:
    """The commands as a document."""
    return json.dumps({"nftables": list(commands)})


SET = named("set", "s", type="ipv4_addr", elem="192.0.2.1")
MAP = named("map", "m", type="inet_service", map="verdict", elem=[[22, {"accept": None}]])
FULL = (TABLE, CHAIN, {"add": rule(1)})

CASES: dict[str, tuple[Command, ...]] = {
    "order": (*FULL, {"insert": rule(2)}, {"add": rule(3)}),
    "index": (*FULL, {"add": rule(2)}, {"add": rule(3, index=0)}, {"insert": rule(4, index=1)}),
    "bare": ({"metainfo": {"json_schema_version": 1}}, TABLE, {"chain": CHAIN["add"]["chain"]}, rule(1, handle=7),
             {"add": rule(2, handle=9)}),
    "flush table": (*FULL, {"flush": {"table": T}}, {"add": rule(2)}),
    "flush chain": (*FULL, {"flush": named("chain", "c")}, {"add": rule(2)}),
    "flush ruleset": (*FULL, {"flush": {"ruleset": None}}),
    "flush set": (TABLE, {"add": SET}, {"flush": named("set", "s")}),
    "elements": (TABLE, {"add": SET}, {"add": MAP}, {"add": named("element", "s", elem=["192.0.2.2", "192.0.2.3"])},
                 {"add": named("element", "m", elem=[[23, {"drop": None}]])},
                 {"delete": named("element", "s", elem=["192.0.2.1"])}),
    "delete chain": (TABLE, CHAIN, {"add": named("chain", "d")}, {"delete": named("chain", "c")}),
    "delete table": (*FULL, {"delete": {"table": T}}, TABLE),
    "policy": (TABLE, CHAIN, {"add": {"chain": {**CHAIN["add"]["chain"], "policy": "drop"}}}),
    "chain twice": (*FULL, CHAIN),
    "no hook without a priority": (TABLE, {"add": named("chain", "c", type="filter", hook="input")}),
    "no hook with a named priority": (TABLE, {"add": named("chain", "c", type="filter", hook="input", prio="filter")}),
}  # fmt: skip

REFUSED: dict[str, tuple[Command, ...]] = {
    "table exists": (TABLE, {"create": {"table": T}}),
    "chain exists": (TABLE, CHAIN, {"create": named("chain", "c")}),
    "no table": ({"add": named("chain", "c")},),
    "no chain": (TABLE, {"add": rule(1)}),
    "no set": (TABLE, {"add": named("element", "s", elem=["192.0.2.1"])}),
    "no element": (TABLE, {"add": SET}, {"delete": named("element", "s", elem=["192.0.2.9"])}),
    "no family": ({"add": {"table": {"name": "t"}}},),
    "no index": (*FULL, {"insert": rule(2, index=5)}),
    "delete nothing": ({"delete": {"table": T}},),
    "delete no chain": (TABLE, {"delete": named("chain", "c")}),
    "flush nothing": (TABLE, {"flush": named("chain", "c")}),
}
