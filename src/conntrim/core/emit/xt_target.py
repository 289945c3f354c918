"""Statements as the one target that an iptables rule may have."""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.emit.xt_match import NotExpressible
from conntrim.core.model.ruleset import (
    End,
    Helper,
    Jump,
    Nat,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Return,
    SetMark,
    SetZone,
    Statement,
    Verdict,
)  # fmt: skip

NATS = {"snat": "SNAT", "dnat": "DNAT", "masquerade": "MASQUERADE", "redirect": "REDIRECT", "netmap": "NETMAP"}
ZONES = {"": "zone", "original": "zone-orig", "reply": "zone-reply"}


def _verdict(end: End) -> str:
    if end.verdict is Verdict.REJECT:
        return f"REJECT --reject-with {end.text}"
    if end.verdict is Verdict.QUEUE:
        return f"NFQUEUE {end.text}" if end.text else "QUEUE"
    return end.verdict.value.upper()


def _target(statement: Statement) -> str:
    text = None
    match statement:
        case End():
            text = _verdict(statement)
        case Return():
            text = "RETURN"
        case Notrack():
            text = "CT --notrack"
        case SetMark(value, mask):
            text = f"MARK --set-xmark {value:#x}/{mask:#x}"
        case Nat(kind, options) if kind in NATS:
            text = f"{NATS[kind]} {options}".strip()
        case NoEffect(kind, options) | OpaqueStatement(kind, options) if kind.isupper():
            text = f"{kind} {options}".strip()
    if text is None:
        raise NotExpressible(f"no iptables target does {statement}")
    return text


def _template(statements: tuple[Statement, ...]) -> str | None:
    """Zone, helper and the like of one CT target; None where the statements are something else."""
    options = []
    for statement in statements:
        match statement:
            case SetZone(zone, way):
                options.append(f"--{ZONES[way]} {zone}")
            case Helper(name):
                options.append(f"--helper {name}")
            case OpaqueStatement("CT", text):
                options.append(text)
            case _:
                return None
    return f"CT {' '.join(options)}".strip()


def target_words(statements: tuple[Statement, ...]) -> Iterator[str]:
    """`-j` or `-g` and what follows; nothing for a rule that only counts."""
    match statements:
        case ():
            return
        case (Jump(chain, goto),):
            yield f"-{'g' if goto else 'j'} {chain}"
        case _:
            template = _template(statements)
            if template is None and len(statements) > 1:
                raise NotExpressible("an iptables rule has one target")
            yield f"-j {template or _target(statements[0])}"
