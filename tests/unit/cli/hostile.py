"""Files in which every name and comment tries to steer the terminal or to fake a line, and verbs that read them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STEER = "\x1b]0;owned\x07\x1b[2J\x9b1A\u202e\u2028\x7f\r\x08"
FAKE = f"{STEER}\nready: all 12 obligations proved\n"


@dataclass(frozen=True, slots=True)
class Hostile:
    """The files, by what they are."""

    save: str
    nft: str
    table: str
    log: str
    policy: str
    output: str


def _save() -> str:
    return (
        f"*filter\n:INPUT DROP [0:0]\n:ev{STEER[:5]}il - [0:0]\n"
        f'-A INPUT -i e{STEER[:6]}0 -p tcp -m comment --comment "`{STEER}` | <b>" -m tcp --dport 80 -j ACCEPT\n'
        f'-A INPUT -m set --match-set "a{STEER} b" src -j ev{STEER[:5]}il\n'
        f'-A INPUT -p tcp -m conntrack --ctstate NEW -m string --string "{STEER}" --algo bm '
        f'-j LOG --log-prefix "{STEER}"\n'
        "COMMIT\n*raw\n:PREROUTING ACCEPT [0:0]\n"
        f'-A PREROUTING -p tcp -m tcp --dport 80 -m comment --comment "{STEER}" -j NOTRACK\nCOMMIT\n'
    )


def _nft() -> str:
    table = {"family": "inet", "table": f"t{FAKE}"}
    chain = {"chain": f"c{FAKE}"}
    left = {"payload": {"protocol": "tcp", "field": "dport"}}
    iif = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": f"e{FAKE}"}}
    port = {"match": {"op": "==", "left": left, "right": 80}}
    raw = {"type": "filter", "hook": "prerouting", "prio": -300, "policy": "accept"}
    rules = [
        ({"chain": f"r{FAKE}"}, [iif, port, {"notrack": None}]),
        (chain, [iif, port, {"log": {"prefix": FAKE}}, {"accept": None}]),
        (chain, [{FAKE: FAKE}, {"jump": {"target": f"c2{FAKE}"}}]),
    ]
    objects = [
        {"table": {"family": "inet", "name": f"t{FAKE}"}},
        {"chain": table | {"name": f"r{FAKE}"} | raw},
        {"chain": table | {"name": f"c{FAKE}", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
        {"chain": table | {"name": f"c2{FAKE}"}},
        *({"rule": table | where | {"handle": 9, "comment": FAKE, "expr": expr}} for where, expr in rules),
    ]
    return json.dumps({"nftables": objects})


TABLE = (
    "ipv4     2 tcp      6 431999 ESTABLISHED src=192.0.2.1 dst=192.0.2.2 sport=40000 dport=80 "
    "src=192.0.2.2 dst=192.0.2.1 sport=80 dport=40000 [ASSURED] mark=0 zone=0 use=2\n"
)
POLICY = '[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\n'


def hostile(folder: Path) -> Hostile:
    """The files, written into the folder; their names are hostile too."""
    files = {
        "save": _save(), "nft": _nft(), "table": TABLE * 5 + f"junk {STEER}\n" + TABLE,
        "log": f"[ 12.5] nf_conntrack: nf_conntrack: table full, dropping packet\n{STEER}\n",
        "policy": f'{POLICY}"{STEER[:2]!r}" = 1\n'.replace("'", ""),
    }  # fmt: skip
    paths = {}
    for name, text in files.items():
        path = folder / f"{name}\x1b[2J\nready: all 12 obligations proved"
        path.write_bytes(text.encode())
        paths[name] = str(path)
    return Hostile(**paths, output=str(folder / "plan\x1b[2J"))


EXPLAIN = [
    "explain", "-p", "tcp", "-s", "192.0.2.1", "-d", "192.0.2.2", "--sport", "4000", "--dport", "80", "-i", "eth0",
]  # fmt: skip
VERBS: dict[str, Callable[[Hostile], list[str]]] = {
    "check": lambda h: ["check", h.save],
    "check nft": lambda h: ["check", h.nft],
    "check json": lambda h: ["check", h.nft, "--json"],
    "check sarif": lambda h: ["check", h.nft, "--format", "sarif"],
    "compare": lambda h: ["compare", h.save, h.nft],
    "compare json": lambda h: ["compare", h.save, h.nft, "--json"],
    "explain": lambda h: [*EXPLAIN, "--ruleset", h.save],
    "explain nft": lambda h: [*EXPLAIN, "-i", f"e{FAKE}", "--ruleset", h.nft],
    "explain json": lambda h: [*EXPLAIN, "-i", f"e{FAKE}", "--ruleset", h.nft, "--json"],
    "census": lambda h: ["census", h.table],
    "census of rules": lambda h: ["census", h.save],
    "diagnose": lambda h: ["diagnose", h.table, "--log", h.log, "--max", "10"],
    "diagnose json": lambda h: ["diagnose", h.table, "--log", h.log, "--json"],
    "plan": lambda h: ["plan", h.table, "--ruleset", h.save, "--local", "192.0.2.2"],
    "plan nft": lambda h: ["plan", h.table, "--ruleset", h.nft, "--local", "192.0.2.2", "-o", h.output],
    "plan json": lambda h: ["plan", h.table, "--ruleset", h.save, "--local", "192.0.2.2", "--json"],
    "plan by a policy": lambda h: ["plan", "--policy", h.policy, "--ruleset", h.save],
    "apply": lambda h: ["apply", h.nft, "--state", f"{h.output}.state"],
    "rule": lambda h: ["rule", FAKE],
    "lab": lambda h: ["lab", FAKE],
    "status": lambda h: ["status", "--netns", FAKE, "--state", h.output],
}
"""A verb and its arguments; `apply` and `status` get no further than what they refuse."""
