"""What counts, remembers or is written on a packet's way is asked anew: at each rule, and behind each writer."""

import json
from typing import Any

import pytest

from conntrim.core.parse.ruleset import read
from conntrim.core.prove.compare import compare

FILTER = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n{}COMMIT\n"
MANGLE = "*mangle\n:PREROUTING ACCEPT [0:0]\n{}COMMIT\n"
RATE = "-A INPUT -p tcp -m tcp --dport {} -m limit --limit 7/min -j ACCEPT\n"
QUOTA = "-A INPUT -p udp -m udp --dport 6100 -m quota --quota 9000 -j ACCEPT\n"
HALF = "-A INPUT -p udp -m udp --dport 6100 -m statistic --mode random --probability 0.50000000000 -j ACCEPT\n"
SEEN = "-A INPUT -m recent --rcheck --name guests --rsource -j ACCEPT\n"
NOTES = "-A INPUT -m recent --set --name guests --rsource\n"
IN_SET = "-A INPUT -m set --match-set knocked src -j ACCEPT\n"
INTO_SET = "-A INPUT -p tcp -m tcp --dport 6200 -j SET --add-set knocked src\n"
QUEUED = "-A PREROUTING -j NFQUEUE --queue-num 6\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (FILTER.format(RATE.format(6001) * 2), FILTER.format(RATE.format(6001))),
        (FILTER.format(QUOTA * 2), FILTER.format(QUOTA)),
        (FILTER.format(HALF * 2), FILTER.format(HALF)),
        (FILTER.format(NOTES + SEEN), FILTER.format(SEEN + NOTES)),
        (FILTER.format(IN_SET + INTO_SET + IN_SET), FILTER.format(IN_SET + INTO_SET)),
        (MANGLE.format(QUEUED * 2) + MANGLE.replace("mangle", "raw").format(QUEUED), MANGLE.format(QUEUED)),
        (
            MANGLE.format("-A PREROUTING -j TTL --ttl-set 31\n-A PREROUTING -m ttl --ttl-eq 31 -j DROP\n"),
            MANGLE.format("-A PREROUTING -j TTL --ttl-set 31\n-A PREROUTING -m ttl --ttl-eq 32 -j DROP\n"),
        ),
        (
            MANGLE.format("-A PREROUTING -j TTL --ttl-dec 2\n-A PREROUTING -j TTL --ttl-set 9\n"),
            MANGLE.format("-A PREROUTING -j TTL --ttl-set 9\n-A PREROUTING -j TTL --ttl-dec 2\n"),
        ),
    ],
    ids=[
        "two limits", "two quotas", "two chances", "read before noted", "a set read before and behind its writer",
        "two queues", "another value than the one written", "written and counted down",
    ],
)  # fmt: skip
def test_not_the_same(before: str, after: str) -> None:
    """A second rule with the same text counts for itself, and a reader behind a writer is told another thing."""
    found = compare(read(before, "before"), read(after, "after"))
    assert found.differences or found.others
    assert not found.undecided


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (FILTER.format(RATE.format(6001) * 2), FILTER.format(RATE.format(6001) * 2)),
        (
            FILTER.format(RATE.format(6001) + RATE.format(6002)),
            FILTER.format(RATE.format(6002) + "-A INPUT -i lo -j LOG\n" + RATE.format(6001)),
        ),
        (
            FILTER.replace(":INPUT", ":rated - [0:0]\n:INPUT").format("-A INPUT -j rated\n" + RATE.format(6001)),
            FILTER.replace(":INPUT", ":slow - [0:0]\n:INPUT").format("-A INPUT -j slow\n" + RATE.format(6001)),
        ),
        (FILTER.format(IN_SET + INTO_SET + IN_SET), FILTER.format(IN_SET + INTO_SET + "-A INPUT -j LOG\n" + IN_SET)),
        (FILTER.format(IN_SET + IN_SET), FILTER.format(IN_SET)),
    ],
    ids=["itself", "other packets' limit in front", "a chain's name", "a log between", "a set that nobody fills"],
)
def test_the_same(before: str, after: str) -> None:
    """The same rule at the corresponding place asks the same question; one that counts alone may stand elsewhere."""
    assert compare(read(before, "before"), read(after, "after")).same


def test_a_packet_that_comes_twice_is_asked_twice() -> None:
    """A chain with a limit that is jumped to twice asks a packet twice; jumped to by two kinds of packets, once."""
    chain = FILTER.replace(":INPUT", ":rated - [0:0]\n:INPUT")
    limit = "-A rated -m limit --limit 7/min -j ACCEPT\n"
    twice, once, parts = (
        read(chain.format(f"{jumps}{limit}"), "rules")
        for jumps in (
            "-A INPUT -j rated\n" * 2,
            "-A INPUT -j rated\n",
            "-A INPUT -p tcp -j rated\n-A INPUT ! -p tcp -j rated\n",
        )
    )
    assert not compare(twice, once).same
    assert compare(parts, once).same


def test_more_jumps_than_are_followed_are_not_decided() -> None:
    """A change below seventy chains one in another is not decided, and the chain is named."""
    names = "".join(f":deep{n} - [0:0]\n" for n in range(70))
    jumps = "-A INPUT -j deep0\n" + "".join(f"-A deep{n} -j deep{n + 1}\n" for n in range(69))
    one, other = (
        read(FILTER.replace(":INPUT", f"{names}:INPUT").format(f"{jumps}-A deep69 -j {end}\n"), "rules")
        for end in ("ACCEPT", "DROP")
    )
    assert any("more than 64 jumps" in why for why in compare(one, other).undecided)


TABLE = {"family": "inet", "table": "guard"}
DROPS: dict[str, Any] = {"policy": "drop", "type": "filter", "hook": "prerouting", "prio": -300}
MARK = {"meta": {"key": "mark"}}


def nft(*objects: dict[str, Any], flags: Any = None) -> str:
    """A listing of one table with these objects."""
    table = {"table": {"family": "inet", "name": "guard"} | ({"flags": flags} if flags else {})}
    told = [{kind: TABLE | content} for each in objects for kind, content in each.items()]
    return json.dumps({"nftables": [table, *told]})


def chain(name: str, *rules: list[Any], **base: Any) -> tuple[dict[str, Any], ...]:
    """A chain with its rules."""
    return ({"chain": {"name": name} | base}, *({"rule": {"chain": name, "expr": rule}} for rule in rules))


def equals(left: Any, right: Any) -> dict[str, Any]:
    """A match."""
    return {"match": {"op": "==", "left": left, "right": right}}


STATE = {"ct": {"key": "state"}}
SOURCE = {"payload": {"protocol": "ip", "field": "saddr"}}
GIVES = {"mangle": {"key": MARK, "value": 6}}
BY_MARK = {"vmap": {"key": MARK, "data": {"set": [[0, {"jump": {"target": "one"}}], [6, {"jump": {"target": "two"}}]]}}}
OPEN = DROPS | {"policy": "accept"}
FROM_SET = equals(SOURCE, "@banned")


def timed(seconds: int) -> dict[str, Any]:
    """A set whose one element stays for so long."""
    element = {"elem": {"val": "203.0.113.77", "timeout": seconds, "expires": 3}}
    return {"set": {"name": "banned", "type": "ipv4_addr", "flags": ["timeout"], "elem": [element]}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (nft(*chain("in", **DROPS)), nft(*chain("in", **DROPS), flags="guard")),
        (
            nft(*chain("in", [equals(STATE, "invalid"), {"notrack": None}, equals(STATE, "untracked"), {"drop": None}],
                       **OPEN)),
            nft(*chain("in", [equals(STATE, "invalid"), {"notrack": None}], **OPEN)),
        ),
        (
            nft(*chain("one", [GIVES]), *chain("two", [{"drop": None}]), *chain("in", [BY_MARK], **OPEN)),
            nft(*chain("two", [{"drop": None}]), *chain("in", [equals(MARK, 0), GIVES],
                                                        [equals(MARK, 6), {"drop": None}], **OPEN)),
        ),
        (nft(timed(60), *chain("in", [FROM_SET, {"drop": None}], **OPEN)),
         nft(timed(6000), *chain("in", [FROM_SET, {"drop": None}], **OPEN))),
    ],
    ids=["dormant or not", "untracked on the way", "a key changed by its own jump", "an element's time-out"],
)  # fmt: skip
def test_nft_is_not_the_same(before: str, after: str) -> None:
    """What nft's JSON says of one table and rule."""
    assert not compare(read(before, "before.json"), read(after, "after.json")).same


def test_offloading_ends_no_packet_s_way() -> None:
    """`flow add` lets the packet go on: without it the same packets pass, and later ones see rules again."""
    last = [equals(STATE, "established"), {"accept": None}]
    told = [equals(STATE, "established"), {"flow": {"op": "add", "flowtable": "@fast"}}]
    base = {"policy": "drop", "type": "filter", "hook": "forward", "prio": 0}
    one, other = (read(nft(*chain("fwd", *rules, **base)), "rules.json") for rules in ([told, last], [last]))
    found = compare(one, other)
    assert (found.differences, found.same) == ((), False)
