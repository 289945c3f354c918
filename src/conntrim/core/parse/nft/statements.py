"""nft's statements as ours."""

from __future__ import annotations

from collections.abc import Callable

from conntrim.core.model.nft_words import Json, Unspeakable, one_key, statement_words
from conntrim.core.model.ruleset import (
    End,
    Field,
    Helper,
    In,
    Jump,
    Nat,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Return,
    SetMark,
    SetZone,
    Statement,
    TableFamily,
    Verdict,
)  # fmt: skip
from conntrim.core.parse.nft.left import V4, V6, Unread
from conntrim.core.parse.nft.matches import spoken
from conntrim.core.parse.xt.targets import HARMLESS

EVERY = 0xFFFFFFFF

REJECTS: dict[str, dict[str, str]] = {
    "icmp": {"prot-unreachable": "icmp-proto-unreachable"},
    "icmpv6": {"admin-prohibited": "icmp6-adm-prohibited", "addr-unreachable": "icmp6-addr-unreachable"},
    "icmpx": {},
}
"""`reject with TYPE CODE`, where iptables' name is not simply type and code."""

DEFAULT_REJECTS = {TableFamily.IP: "icmp", TableFamily.IP6: "icmpv6"}
WORDED: dict[str, Callable[[str, str], Statement]] = {
    **dict.fromkeys(("snat", "dnat", "masquerade", "redirect"), Nat),
    **dict.fromkeys(("counter", "log", "last"), NoEffect),
    "queue": lambda kind, said: End(Verdict.QUEUE, said),
}
"""Statements that keep their arguments as words."""

MATCHING = frozenset({"limit", "quota", "ct count", "set", "meter", "connlimit"})
"""Statements that end the rule where they do not hold: matches in all but name."""

HARMLESS_KEYS = frozenset({"nftrace", "priority"})
"""`meta` keys whose setting none of our fields sees."""


def _mark(value: Json) -> tuple[int, int]:
    """What a mark is set to, as (mark & kept) ^ flipped."""
    match value:
        case bool():
            raise Unread
        case int():
            return 0, value & EVERY
        case {"meta": {"key": "mark"}}:
            return EVERY, 0
        case {"&": [inner, int(bits)]}:
            kept, flipped = _mark(inner)
            return kept & bits, flipped & bits
        case {"|": [inner, int(bits)]}:
            kept, flipped = _mark(inner)
            return kept & ~bits & EVERY, flipped & ~bits | bits & EVERY
        case {"^": [inner, int(bits)]}:
            kept, flipped = _mark(inner)
            return kept, flipped ^ bits & EVERY
    raise Unread


def _mangle(content: Json) -> Statement:
    """`X set VALUE`."""
    match content:
        case {"key": {"meta": {"key": "mark"}}, "value": value}:
            kept, flipped = _mark(value)
            return SetMark(flipped, EVERY ^ kept)
        case {"key": {"ct": {"key": "zone", **rest}}, "value": int(zone)} if not isinstance(content["value"], bool):
            return SetZone(zone, str(rest.get("dir", "")))
        case {"key": {"meta": {"key": str(key)}}} if key in HARMLESS_KEYS:
            return NoEffect(f"meta {key}", statement_words({"mangle": content}))
    raise Unread


def reject_text(content: Json, family: TableFamily) -> str:
    """What a reject answers with, by iptables' names where it has one."""
    kind = (content or {}).get("type") or DEFAULT_REJECTS.get(family, "icmpx")
    if kind == "tcp reset":
        return "tcp-reset"
    if kind not in REJECTS:
        raise Unread
    code = str((content or {}).get("expr", "port-unreachable"))
    return REJECTS[kind].get(code, f"{'icmp6' if kind == 'icmpv6' else kind}-{code}")


FAMILIES: tuple[tuple[tuple[str, ...], In], ...] = (
    (("icmp-", "ip to", "ip prefix"), V4), (("icmp6-", "ip6 to", "ip6 prefix"), V6),
)  # fmt: skip
"""How the arguments begin of a reject or translation that is for one family."""


def needs(done: Statement, family: TableFamily) -> tuple[In, ...]:
    """The family check of a reject or translation in an inet table, which nft does not list."""
    if family is not TableFamily.INET or not isinstance(done, Nat | End):
        return ()
    return next(((only,) for begins, only in FAMILIES if done.text.startswith(begins)), ())


FIXED: dict[str, Statement] = {
    "accept": End(Verdict.ACCEPT),
    "drop": End(Verdict.DROP),
    "return": Return(),
    "notrack": Notrack(),
}
"""Statements without arguments."""


def _helper(content: Json) -> Statement:
    return Helper(str(content))


READ: dict[str, Callable[[Json], Statement]] = {
    "jump": lambda content: Jump(str(content["target"])),
    "goto": lambda content: Jump(str(content["target"]), goto=True),
    "mangle": _mangle,
    "ct helper": _helper,
}
"""Statements whose meaning the model has."""


def statement(expression: Json, family: TableFamily) -> Statement:
    """Any statement that is no match; what the model does not know stays opaque."""
    if isinstance(expression, str):
        # An anonymous chain comes as raw text (K38); whether it ends the walk nobody can tell from outside.
        return OpaqueStatement("chain", expression)
    kind, content = one_key(expression)
    try:
        if kind in FIXED or kind in READ:
            return FIXED[kind] if kind in FIXED else READ[kind](content)
        if kind == "reject":
            return End(Verdict.REJECT, reject_text(content, family))
        if kind in WORDED:
            return WORDED[kind](kind, statement_words(expression).removeprefix(kind).strip())
    except (Unread, Unspeakable):
        pass
    name = _name(kind, content)
    if kind == "xt" and name.removeprefix("xt ") in HARMLESS:
        return NoEffect(name.removeprefix("xt "), "")  # whatever its arguments are
    return OpaqueStatement(name, spoken(expression))


def _name(kind: str, content: Json) -> str:
    """What an opaque statement is called."""
    if kind == "mangle" and isinstance(content, dict) and isinstance(content.get("key"), dict) and content["key"]:
        of, inner = next(iter(content["key"].items()))
        name = inner.get("key") or f"{inner.get('protocol', '')} {inner.get('field', '')}"
        return f"{of} {name}".strip() if of in ("meta", "ct") else name.strip() if of == "payload" else of
    if kind == "xt" and isinstance(content, dict):
        return f"xt {content.get('name', '')}".strip()
    return str(kind)


def writes(done: Statement) -> Field | None:
    """The field of ours that a statement changes, as far as the model sees it."""
    return Field.MARK if isinstance(done, SetMark) else None
