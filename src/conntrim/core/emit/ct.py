"""What rules ask of entries, in the words of both dialects."""

from __future__ import annotations

from typing import assert_never

from conntrim.core.emit.nft_address import address_text
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.emit.xt_option import prefix_text
from conntrim.core.model.address import V4_ALL, Family
from conntrim.core.model.conntrack import Status
from conntrim.core.model.ct_match import CtIn, CtKey, Way
from conntrim.core.model.intervals import Intervals, span_text

STATUS_WORDS: dict[int, str] = {
    Status.EXPECTED: "expected", Status.SEEN_REPLY: "seen-reply", Status.ASSURED: "assured",
    Status.CONFIRMED: "confirmed", Status.SRC_NAT: "snat", Status.DST_NAT: "dnat", Status.DYING: "dying",
}  # fmt: skip
"""nft's names of the bits of a status."""

ADDRESSES = (CtKey.SRC, CtKey.DST)
PORTS = (CtKey.SPORT, CtKey.DPORT)
FAMILIES = {int(Family.IPV4): "ipv4", int(Family.IPV6): "ipv6"}


def _bits(value: int) -> str:
    names = [name for bit, name in STATUS_WORDS.items() if value & bit]
    return " | ".join(names) if value and value == sum(b for b in STATUS_WORDS if value & b) else str(value)


def nft_text(match: CtIn) -> str:
    """A question to an entry as nft writes it."""
    left = f"ct {match.way}{' ' * bool(match.way)}{_family(match)}{match.key}"
    one = match.values.ranges[0][0] if match.values.size == 1 else None
    if match.key is CtKey.STATUS and one is not None:
        return f"{left} {_status(match, one)}"
    mask = "" if match.mask is None else f" & {match.mask}"
    op = " !=" if match.negated else " ==" if mask else ""
    said = ", ".join(_span(match.key, low, high) for low, high in _few(match).ranges)
    negated = " !=" if _few(match) != match.values else op
    return f"{left}{mask}{negated} {said if len(_few(match).ranges) == 1 else f'{{ {said} }}'}"


def _status(match: CtIn, value: int) -> str:
    """K58: any of the bits, or all bits compared."""
    op = "!=" if match.negated else "=="
    if match.mask is None:
        return f"{op} {_bits(value)}"
    if not value and match.negated:
        return _bits(match.mask).replace(" | ", ",")
    bits = _bits(match.mask)
    return f"& {f'({bits})' if '|' in bits else bits} {op} {_bits(value)}"


def _family(match: CtIn) -> str:
    """The family's word before an address."""
    if match.key not in ADDRESSES:
        return ""
    return "ip " if match.values and match.values <= Intervals((V4_ALL,)) else "ip6 "


def _few(match: CtIn) -> Intervals:
    """The values, or of addresses all others where these are fewer."""
    if match.key not in ADDRESSES:
        return match.values
    v4 = Intervals((V4_ALL,))
    others = (v4 if match.values & v4 else v4.complement(128)) - match.values
    return others if others and len(others.ranges) < len(match.values.ranges) else match.values


def _span(key: CtKey, low: int, high: int) -> str:
    if key is CtKey.DIRECTION:
        return "reply" if low else "original"
    if key is CtKey.FAMILY and low in FAMILIES:
        return FAMILIES[low]
    if key in ADDRESSES:
        return address_text(low, high)
    return span_text(low, high)


NAMES = {("original", CtKey.SRC): "ctorigsrc", ("original", CtKey.DST): "ctorigdst",
         ("reply", CtKey.SRC): "ctreplsrc", ("reply", CtKey.DST): "ctrepldst"}  # fmt: skip
XT_STATUS = {0: "NONE", Status.EXPECTED: "EXPECTED", Status.SEEN_REPLY: "SEEN_REPLY", Status.ASSURED: "ASSURED",
             Status.CONFIRMED: "CONFIRMED"}  # fmt: skip


def xt_option(match: CtIn, v6: bool) -> str:
    """An option of `-m conntrack`; NotExpressible for what it does not ask."""
    text = _xt(match, v6)
    if text is None:
        raise NotExpressible(f"no option of -m conntrack asks for {match}")
    return text


def _xt(match: CtIn, v6: bool) -> str | None:
    if len(match.values.ranges) != 1 and match.key not in ADDRESSES:
        return None
    inverted, span = "! " * match.negated, "" if match.key in ADDRESSES else _colon(match.values)
    named = (match.way.value, match.key)
    match match.key:
        case CtKey.SRC | CtKey.DST if named in NAMES:
            return prefix_text(f"--{NAMES[named]}", match.values, match.mask, v6)
        case CtKey.SPORT | CtKey.DPORT if match.way is not Way.ANY:
            ends = "src" if match.key is CtKey.SPORT else "dst"
            return f"{inverted}--ct{match.way.value[:4]}{ends}port {span}"
        case CtKey.STATUS if match.values == Intervals.of(0) and match.mask is not None:
            names = [name for bit, name in XT_STATUS.items() if match.mask & bit] or ["NONE"]
            return f"{'' if match.negated else '! '}--ctstatus {','.join(names)}"
        case CtKey.DIRECTION:
            return f"{inverted}--ctdir {'REPLY' if 1 in match.values else 'ORIGINAL'}"
        case CtKey.PROTOCOL:
            return f"{inverted}--ctproto {span}" if match.values.size == 1 else None
        case CtKey.EXPIRATION:
            return f"{inverted}--ctexpire {span}"
        case (
            CtKey.SRC | CtKey.DST | CtKey.SPORT | CtKey.DPORT | CtKey.STATUS | CtKey.MARK | CtKey.ZONE | CtKey.FAMILY
        ):  # fmt: skip
            return None
        case _:
            assert_never(match.key)


def _colon(values: Intervals) -> str:
    return span_text(*values.ranges[0], ":")


def connmark(match: CtIn) -> str | None:
    """An entry's mark as an option of `-m connmark`; None where it is something else."""
    if match.key is not CtKey.MARK or match.values.size != 1:
        return None
    mask = "" if match.mask is None else f"/{match.mask:#x}"
    return f"{'! ' * match.negated}--mark {match.values.ranges[0][0]:#x}{mask}"
