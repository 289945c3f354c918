"""nft's JSON in nft's own words: `{"payload": {"protocol": "ip", "field": "saddr"}}` is `ip saddr`.

It stands in the model because both directions need it: parse for the text of a rule, emit for what stayed opaque.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = Any
"""One value of nft's JSON; its shape is checked where it is read."""

INTERFACES = frozenset({"iif", "oif", "iifname", "oifname", "ibrname", "obrname", "sdif", "sdifname"})

QUOTED = INTERFACES | {"time", "day", "hour"}
"""`meta` keys whose values stand in quotes."""


class Unspeakable(ValueError):  # noqa: N818 - it names what is so
    """JSON that nft 1.0.6 would not print."""


def one_key(value: Json) -> tuple[str, Json]:
    """Kind and content of an object with one key."""
    if not isinstance(value, dict) or len(value) != 1:
        raise Unspeakable(f"no expression: {value!r}")
    kind, content = next(iter(value.items()))
    return str(kind), content


def words(value: Json, quote: bool = False) -> str:
    """An expression as nft text; `quote` puts names in quotes, as interfaces want it."""
    if isinstance(value, bool):
        return "exists" if value else "missing"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return f'"{value}"' if quote and not value.startswith("@") else value
    if isinstance(value, list):
        return ",".join(words(each, quote) for each in value)
    kind, content = one_key(value)
    if kind in OPERATORS:
        return _operation(kind, content)
    if kind not in EXPRESSIONS:
        raise Unspeakable(f"no words for {kind}")
    return EXPRESSIONS[kind](content, quote)


OPERATORS = frozenset({"&", "|", "^", "<<", ">>"})


def _operand(value: Json) -> str:
    """One side of an operation; flags and nested operations in parentheses."""
    if isinstance(value, list):
        return "(" + " | ".join(words(each) for each in value) + ")"
    text = words(value)
    return f"({text})" if isinstance(value, dict) and set(value) & OPERATORS else text


def _operation(operator: str, sides: Json) -> str:
    return f" {operator} ".join(map(_operand, sides))


def _payload(content: Json, quote: bool) -> str:
    if "base" in content:
        return f"@{content['base']},{content['offset']},{content['len']}"
    tunnel = f"{content['tunnel']} " if "tunnel" in content else ""
    return f"{tunnel}{content['protocol']} {content['field']}"


def _meta(content: Json, quote: bool) -> str:
    key = content["key"]
    return str(key) if key in INTERFACES else f"meta {key}"


def _ct(content: Json, quote: bool) -> str:
    way = f"{content['dir']} " if "dir" in content else ""
    return f"ct {way}{content['key']}"


def _header(content: Json, quote: bool) -> str:
    return f"{content['name']} {content['field']}" if "field" in content else f"exthdr {content['name']}"


def _option(prefix: str) -> Callable[[Json, bool], str]:
    return lambda content, quote: f"{prefix} option {content['name']} {content.get('field', '')}".rstrip()


def _elem(content: Json, quote: bool) -> str:
    timeout = f" timeout {content['timeout']}s" if "timeout" in content else ""
    limits = "".join(f" {statement_words(each)}" for each in content.get("stmt", ()))
    return words(content["val"], quote) + timeout + limits


def _set(content: Json, quote: bool) -> str:
    return "{ " + ", ".join(_member(each, quote) for each in content) + " }"


def _member(value: Json, quote: bool) -> str:
    """An element of a set, or of a map: a pair."""
    if isinstance(value, list) and len(value) == 2:
        data = value[1]
        said = statement_words(data) if isinstance(data, dict) and set(data) & set(STATEMENTS) else words(data)
        return f"{words(value[0], quote)} : {said}"
    return words(value, quote)


def _map(content: Json, quote: bool) -> str:
    return f"{words(content['key'])} map {words(content['data'], _quoted(content['key']))}"


def _hash(kind: str) -> Callable[[Json, bool], str]:
    def said(content: Json, quote: bool) -> str:
        what = f" {words(content['expr'])}" if "expr" in content else ""
        seed = f" seed {content['seed']:#x}" if "seed" in content else ""
        offset = f" offset {content['offset']}" if content.get("offset") else ""
        return f"{kind}{what} mod {content['mod']}{seed}{offset}"

    return said


def _numgen(content: Json, quote: bool) -> str:
    offset = f" offset {content['offset']}" if content.get("offset") else ""
    return f"numgen {content['mode']} mod {content['mod']}{offset}"


def _given(content: Json, name: str) -> str:
    """A word and its value, where it is given."""
    return f" {name} {content[name]}" if name in content else ""


EXPRESSIONS: dict[str, Callable[[Json, bool], str]] = {
    "payload": _payload,
    "meta": _meta,
    "ct": _ct,
    "fib": lambda c, q: f"fib {' . '.join(c['flags'])} {c['result']}",
    "rt": lambda c, q: f"rt {c['family'] + ' ' if 'family' in c else ''}{c['key']}",
    "socket": lambda c, q: f"socket {c['key']}{_given(c, 'level')}",
    "osf": lambda c, q: f"osf{_given(c, 'ttl')} {c.get('key', 'name')}",
    "exthdr": _header,
    "tcp option": _option("tcp"),
    "ip option": _option("ip"),
    "prefix": lambda c, q: f"{words(c['addr'])}/{c['len']}",
    "range": lambda c, q: f"{words(c[0], q)}-{words(c[1], q)}",
    "concat": lambda c, q: " . ".join(words(each, isinstance(each, str) and not _bare(each)) for each in c),
    "set": _set,
    "elem": _elem,
    "map": _map,
    "jhash": _hash("jhash"),
    "symhash": _hash("symhash"),
    "numgen": _numgen,
}
"""JSON expression to its words."""


def _bare(text: str) -> bool:
    """An address, number or symbol rather than an interface's name: only the former have these characters."""
    return text.startswith("@") or ":" in text or text.replace(".", "").isdigit() or text in BARE


BARE = frozenset({"tcp", "udp", "icmp", "icmpv6", "sctp", "dccp", "udplite", "esp", "ah", "ipv4", "ipv6"})
"""Symbols that stand in concatenations; any other word there is a name."""


def _quoted(left: Json) -> bool:
    """Whether what is compared with `left` stands in quotes: names and times."""
    if isinstance(left, dict) and ("osf" in left or left.get("socket", {}).get("key") == "cgroupv2"):
        return True
    return isinstance(left, dict) and isinstance(left.get("meta"), dict) and left["meta"].get("key") in QUOTED


def _match(content: Json) -> str:
    left, right, op = content["left"], content["right"], content.get("op", "==")
    said = words(right, _quoted(left))
    if isinstance(right, list) and op in ("==", "!="):
        said = _operand(right)
    silent = op == "in" or (op == "==" and not (isinstance(left, dict) and set(left) & OPERATORS) and said[0] != "(")
    if op == "==" and _flags(left) and not isinstance(right, dict):
        silent = False
    return f"{words(left)} {said}" if silent else f"{words(left)} {op} {said}"


def _flags(left: Json) -> bool:
    """A field of flags, where `X a` and `X == a` are not the same."""
    if not isinstance(left, dict):
        return False
    payload, ct = left.get("payload"), left.get("ct")
    return (isinstance(payload, dict) and payload.get("field") == "flags") or (
        isinstance(ct, dict) and ct.get("key") in ("state", "status", "event", "label")
    )


def _log(content: Json) -> str:
    text = "log"
    for key in ("prefix", "group", "snaplen", "queue-threshold", "level"):
        if content and key in content:
            value = f'"{content[key]}"' if key == "prefix" else content[key]
            text += f" {key} {value}"
    flags = content.get("flags") if content else None
    return text + "".join(f" flags {flag}" for flag in ([flags] if isinstance(flags, str) else flags or ()))


def _limit(content: Json) -> str:
    if isinstance(content, str):
        return f'limit name "{content}"'
    unit = f" {content['rate_unit']}" if content.get("rate_unit", "packets") != "packets" else ""
    over = "over " if content.get("inv") else ""
    burst = content.get("burst", 0 if unit else 5)  # nft 0.9.8 does not list that many packets (K140)
    burst_unit = content.get("burst_unit", "packets")
    tail = f" burst {burst} {burst_unit}" if burst else ""
    return f"limit rate {over}{content['rate']}{unit}/{content['per']}{tail}"


def _reject(content: Json) -> str:
    if not content:
        return "reject"
    kind = content["type"]
    return f"reject with {kind}" if "expr" not in content else f"reject with {kind} {content['expr']}"


def _nat(kind: str) -> Callable[[Json], str]:
    def said(content: Json) -> str:
        if not content:
            return kind
        addr, port = content.get("addr"), content.get("port")
        said = content.get("family") or (("ip6" if ":" in addr else "ip") if kind == "tproxy" and addr else "")
        family = f" {said}" if said else ""
        to = f"{family} to " if addr is not None or port is not None else ""
        host = "" if addr is None else words(addr)
        host = f"[{host}]" if port is not None and isinstance(addr, str) and ":" in host else host
        flags = content.get("flags", [])
        tail = "".join(f" {flag}" for flag in ([",".join(flags)] if isinstance(flags, list) and flags else []))
        tail = f" {flags}" if isinstance(flags, str) else tail
        return f"{kind}{to}{host}{'' if port is None else ':' + words(port)}{tail}"

    return said


def _set_statement(content: Json) -> str:
    limits = "".join(f" {statement_words(each)}" for each in content.get("stmt", ()))
    return f"{content['op']} {content['set']} {{ {words(content['elem'])}{limits} }}"


def _quota(content: Json) -> str:
    if isinstance(content, str):
        return f'quota name "{content}"'
    return f"quota {'over ' if content.get('inv') else ''}{content['val']} {content['val_unit']}"


def _queue(content: Json) -> str:
    flags = (content or {}).get("flags", [])
    tail = ",".join([flags] if isinstance(flags, str) else flags)
    number = f" to {words(content['num'])}" if content and "num" in content else ""
    return f"queue{' flags ' + tail if tail else ''}{number}"


def _counter(content: Json) -> str:
    return f'counter name "{content}"' if isinstance(content, str) else "counter"


def _mangle(content: Json) -> str:
    return f"{words(content['key'])} set {words(content['value'], _quoted(content['key']))}"


def _ct_count(content: Json) -> str:
    return f"ct count {'over ' if content.get('inv') else ''}{content['val']}"


def _synproxy(content: Json) -> str:
    if isinstance(content, str):
        return f'synproxy name "{content}"'
    content = content or {}
    flags = content.get("flags", [])
    said = "".join(f" {key} {content[key]}" for key in ("mss", "wscale") if key in content)
    return f"synproxy{said}" + "".join(f" {flag}" for flag in ([flags] if isinstance(flags, str) else flags))


def _flow(content: Json) -> str:
    return f"flow {content['op']} {content['flowtable']}"


def _dup(kind: str) -> Callable[[Json], str]:
    def said(content: Json) -> str:
        family = f" {content['family']}" if "family" in content else ""
        addr = f"{family} to {words(content['addr'])}" if "addr" in content else ""
        return f"{kind}{addr}" + (f" device {words(content['dev'], True)}" if "dev" in content else "")

    return said


def _bare_word(word: str) -> Callable[[Json], str]:
    return lambda content: word


STATEMENTS: dict[str, Callable[[Json], str]] = {
    **{word: _bare_word(word) for word in ("accept", "drop", "return", "continue", "notrack", "last")},
    "jump": lambda c: f"jump {c['target']}",
    "goto": lambda c: f"goto {c['target']}",
    "match": _match,
    "counter": _counter,
    "log": _log,
    "limit": _limit,
    "quota": _quota,
    "reject": _reject,
    "snat": _nat("snat"),
    "dnat": _nat("dnat"),
    "masquerade": _nat("masquerade"),
    "redirect": _nat("redirect"),
    "tproxy": _nat("tproxy"),
    "mangle": _mangle,
    "ct helper": lambda c: f'ct helper set "{c}"',
    "ct timeout": lambda c: f'ct timeout set "{c}"',
    "ct expectation": lambda c: f'ct expectation set "{c}"',
    "ct count": _ct_count,
    "queue": _queue,
    "set": _set_statement,
    "vmap": lambda c: f"{words(c['key'])} vmap {words(c['data'], _quoted(c['key']))}",
    "synproxy": _synproxy,
    "flow": _flow,
    "dup": _dup("dup"),
    "fwd": _dup("fwd"),
}  # fmt: skip
"""JSON statement to its words."""


def statement_words(value: Json) -> str:
    """A statement or match as nft text; Unspeakable where nft prints no such thing.

    Anonymous chains come as raw text already (K38).
    """
    if isinstance(value, str):
        return " ".join(value.split()) if "\n" not in value else value
    kind, content = one_key(value)
    if kind not in STATEMENTS:
        raise Unspeakable(f"no words for {kind}")
    try:
        return STATEMENTS[kind](content)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise Unspeakable(f"{kind} in a shape that nft does not print") from error
