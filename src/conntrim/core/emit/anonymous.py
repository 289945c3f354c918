"""What a record holds without anybody's addresses and names: only words that the field itself uses are kept.

A word that is not known to be one of netfilter's is a name, and is replaced. What is lost so is the meaning of that one
rule; what would be lost otherwise is somebody's secret.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace

from conntrim.core.emit.kept_words import KEPT_WORDS
from conntrim.core.model.address import format_address, parse_prefix
from conntrim.core.model.circumstances import Circumstances
from conntrim.core.model.facts import HostFacts
from conntrim.core.model.flows import FlowTable, table_of
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.pseudonym import Pseudonyms
from conntrim.core.model.record import Listed

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|[^\s,\[\]{}()=]+')
_NUMBER = re.compile(r"!?[-+]?(?:0x)?[0-9a-fA-F]*\d[0-9a-fA-F]*(?:[:/.-]?(?:0x)?[0-9a-fA-F]+){0,3}[a-z]{0,7}")
_WHEN = re.compile(r"^.*?(?=(?:nf|ip)_conntrack)")
INITIAL = "initial"
"""What the first namespace is called; `ip netns` names the others."""
ADDRESSES = ("src", "dst", "reply_src", "reply_dst")

PLAIN = frozenset({
    "kernel", "era", "seconds", "count", "max", "buckets", "max_writable", "counters", "timeouts", "tcp_loose",
    "slab_entry_bytes", "memory_total", "local_ports", "cpus", "programs", "netns", "listening",
    "tcp_counters", "expect_full", "suppressed",
})  # fmt: skip
"""Facts that name nobody."""


def hidden_facts(facts: HostFacts, key: Pseudonyms) -> HostFacts:
    """The facts without addresses, names and files; what is not known to be harmless is left empty.

    The log lines are of this kernel's own log.
    """
    told = {each.name: getattr(facts, each.name) for each in fields(facts) if each.name in PLAIN}
    lines = tuple(replace(each, text=_WHEN.sub("", each.text)) for each in facts.overflows)
    listeners = tuple(replace(each, owner="") for each in facts.listeners)
    uses = tuple(replace(use, name=use.name if use.name == INITIAL else key.name(use.name)) for use in facts.namespaces)
    settings = tuple(replace(each, source="a file") for each in facts.settings)
    circumstances = Circumstances(settings=facts.circumstances.settings)
    return HostFacts(
        source="recorded kernel", local=hidden_addresses(facts.local, key), overflows=lines, settings=settings,
        namespace=key.name(facts.namespace), namespaces=uses, circumstances=circumstances, listeners=listeners,
        **told,
    )  # fmt: skip


def hidden_addresses(addresses: Intervals, key: Pseudonyms) -> Intervals:
    """A set of addresses."""
    return Intervals.union_of(key.range(low, high) for low, high in addresses.ranges)


def hidden_flows(flows: FlowTable, key: Pseudonyms) -> FlowTable:
    """Entries with other addresses; ports and states stay."""
    filled = {name: getattr(flows, name) for name in flows.columns}
    filled |= {name: key.addresses(filled[name]) for name in ADDRESSES if name in filled}
    return table_of(len(flows), flows.columns, filled)


def hidden_rules(listed: Listed, key: Pseudonyms) -> Listed:
    """A listing whose names are others; of JSON the values, of anything else the words."""
    if listed.text.lstrip().startswith("{"):
        try:
            return Listed(listed.program, json.dumps(_json(json.loads(listed.text), key)))
        except (ValueError, RecursionError):
            return Listed(listed.program, "")
    lines = (line for line in listed.text.split("\n") if not line.startswith("#"))
    return Listed(listed.program, "\n".join(_TOKEN.sub(lambda found: _word(found[0], key), line) for line in lines))


def _json(value: object, key: Pseudonyms) -> object:
    match value:
        case {"metainfo": dict()}:
            return {"metainfo": {"json_schema_version": 1}}
        case {"addr": str(address), "len": int(size)}:
            spelt, slash, bits = (_address(f"{address}/{size}", key) or "").partition("/")
            return {"addr": spelt, "len": int(bits)} if slash else {"addr": key.name(address), "len": size}
        case dict():
            return {name: _json(each, key) for name, each in value.items()}
        case list():
            return [_json(each, key) for each in value]
        case str():
            return _word(value, key)
        case _:
            return value


def _word(text: str, key: Pseudonyms) -> str:
    """A word, unless it is a name; quotes, a leading `@`, `!`, `:` or `-`, and a trailing `+` or `*` stay."""
    if text[:1] in "\"'" and len(text) > 1:
        return f'"{key.name(text)}"'
    if text in KEPT_WORDS or text.startswith("-"):
        return text
    if text[:1] in ("@", "!", ":", "*"):
        return text[0] + _word(text[1:], key) if text[1:] else text
    if text[-1:] in ("+", "*", ";"):
        return _word(text[:-1], key) + text[-1] if text[:-1] else text
    if (address := _address(text, key)) is not None:
        return address
    return text if _NUMBER.fullmatch(text) else key.name(text)


def _address(text: str, key: Pseudonyms) -> str | None:
    """An address, a prefix or a range of addresses; None for anything else."""
    low, dash, high = text.partition("-")
    try:
        if dash and ("." in low or ":" in low):
            ends = sorted(key.address(parse_prefix(end)[0]) for end in (low, high))
            return "-".join(format_address(end) for end in ends)
        address, slash, size = text.partition("/")
        if "." in address or address.count(":") > 1:
            parse_prefix(text)
            return _prefix(key.text(address), slash + size)
    except ValueError:
        return None
    return None


def _prefix(address: str, size: str) -> str:
    """The prefix that an address is in, as the save programs write it: without bits behind its end."""
    if not size[1:].isdecimal():
        return address + size
    first, _ = parse_prefix(f"{address}{size}")
    return format_address(first) + size
