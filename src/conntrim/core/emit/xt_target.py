"""Statements as the one target that an iptables rule may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.emit.xt_option import spelt
from conntrim.core.model.marks import MarkOf, SetMark
from conntrim.core.model.nat import Nat, NatFlag, NatKind
from conntrim.core.model.refusal import XT_REJECTS, XT_REJECTS6, Queue, Reject
from conntrim.core.model.ruleset import (
    CtTemplate,
    End,
    Helper,
    Jump,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Return,
    SetZone,
    Statement,
)  # fmt: skip
from conntrim.core.model.writes import AddToSet, SetField

NATS: dict[NatKind, tuple[str, str]] = {
    NatKind.SNAT: ("SNAT", "--to-source"), NatKind.DNAT: ("DNAT", "--to-destination"),
    NatKind.MASQUERADE: ("MASQUERADE", "--to-ports"), NatKind.REDIRECT: ("REDIRECT", "--to-ports"),
    NatKind.NETMAP: ("NETMAP", "--to"),
}  # fmt: skip
"""Kind of translation to the target and its main option."""

FLAGS: dict[NatFlag, str] = {
    NatFlag.RANDOM: "--random", NatFlag.FULLY_RANDOM: "--random-fully", NatFlag.PERSISTENT: "--persistent",
}  # fmt: skip
ZONES = {"": "zone", "original": "zone-orig", "reply": "zone-reply"}


REJECTS: dict[Reject, str] = {found: name for name, found in (XT_REJECTS | XT_REJECTS6).items()}
"""Answers to iptables' names of them."""


def _verdict(end: End) -> str | None:
    """A verdict with its options; None where iptables cannot say them."""
    match end.how:
        case None:
            return end.verdict.value.upper()
        case Reject():
            return f"REJECT --reject-with {REJECTS[end.how]}" if end.how in REJECTS else None
        case Queue():
            return None if end.how.unread else f"NFQUEUE {_queue(end.how)}"
    assert_never(end.how)


def _queue(queue: Queue) -> str:
    several = f"--queue-balance {queue.first}:{queue.last}"
    said = several if queue.first != queue.last else f"--queue-num {queue.first}"
    return said + " --queue-bypass" * queue.bypass + " --queue-cpu-fanout" * queue.fanout


def _mark(mark: SetMark) -> str | None:
    """A mark set, saved or restored; None for what only nft computes."""
    match mark.to, mark.source:
        case MarkOf.PACKET, None:
            return f"MARK --set-xmark {mark.value:#x}/{mark.mask:#x}"
        case MarkOf.ENTRY, None:
            return f"CONNMARK --set-xmark {mark.value:#x}/{mark.mask:#x}"
        case (MarkOf.ENTRY, MarkOf.PACKET) if not mark.value:
            return f"CONNMARK --save-mark --nfmask {mark.kept:#x} --ctmask {mark.mask:#x}"
        case (MarkOf.PACKET, MarkOf.ENTRY) if not mark.value:
            return f"CONNMARK --restore-mark --nfmask {mark.mask:#x} --ctmask {mark.kept:#x}"
        case _:  # the rest: what nft computes of both, and a packet's mark of itself
            return None


def _nat(nat: Nat, v6: bool) -> str | None:
    """A translation; None for nft's own words."""
    target, option = NATS[nat.kind]
    if nat.elsewhere is not None:
        return f"{target} {nat.elsewhere.text}" if nat.elsewhere.text.startswith("--") else None
    words = [target, *([option] if nat.addresses or nat.ports else []), *map(FLAGS.__getitem__, nat.flags)]
    if nat.addresses or nat.ports:
        words.insert(2, _spot(nat, v6))
    return " ".join(words)


def _spot(nat: Nat, v6: bool) -> str:
    """The addresses and ports of a translation."""
    ports = "" if nat.ports is None else "-".join(map(str, dict.fromkeys(nat.ports)))
    if nat.addresses is None:
        return f":{ports}" if nat.kind in (NatKind.SNAT, NatKind.DNAT) else ports
    low, high = nat.addresses
    if nat.kind is NatKind.NETMAP:
        return f"{spelt(low, v6)}/{(128 if v6 else 32) - (high - low).bit_length()}"
    said = "-".join(spelt(each, v6) for each in dict.fromkeys(nat.addresses))
    return f"[{said}]:{ports}" if ports and v6 else f"{said}:{ports}" if ports else said


def _target(statement: Statement, v6: bool) -> str:
    text = None
    match statement:
        case End():
            text = _verdict(statement)
        case Return():
            text = "RETURN"
        case Notrack():
            text = "CT --notrack"
        case SetMark():
            text = _mark(statement)
        case Nat():
            text = _nat(statement, v6)
        case NoEffect(kind, options) | OpaqueStatement(kind, options) if kind.isupper():
            text = f"{kind} {options}".strip()
        case AddToSet(text=options) if options.startswith("--"):
            text = f"SET {options}"
        case NoEffect() | OpaqueStatement() | Jump() | SetZone() | CtTemplate() | Helper() | SetField() | AddToSet():
            pass
        case _:
            assert_never(statement)
    if text is None:
        raise NotExpressible(f"no iptables target does {statement}")
    return text


def _template(statements: tuple[Statement, ...]) -> str | None:
    """Zone, helper and the like of one CT target; None where the statements are something else."""
    options = []
    for statement in statements:
        match statement:
            case SetZone(zone, way):
                options.append(f"--{ZONES[way]} {'mark' if zone is None else zone}")
            case Helper(name):
                options.append(f"--helper {name}")
            case CtTemplate(text):
                options.append(text)
            case End() | Jump() | Return() | Notrack() | SetMark() | Nat() | NoEffect() | OpaqueStatement():
                return None
            case SetField() | AddToSet():
                return None
            case _:
                assert_never(statement)
    return f"CT {' '.join(options)}".strip()


def target_words(statements: tuple[Statement, ...], v6: bool = False) -> Iterator[str]:
    """`-j` or `-g` and what follows; nothing for a rule that only counts."""
    match statements:
        case ():
            return
        case (Jump(chain, goto),):
            yield f"-{'g' if goto else 'j'} {chain}"
        case _:  # the rest: one target, or the parts of one
            template = _template(statements)
            if template is None and len(statements) > 1:
                raise NotExpressible("an iptables rule has one target")
            yield f"-j {template or _target(statements[0], v6)}"
