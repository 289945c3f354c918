"""The verb `explain`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import click

from conntrim import wiring
from conntrim.app.explain import explain
from conntrim.cli import options
from conntrim.cli.output import say
from conntrim.core.model.address import family_of, format_address, parse_address, parse_prefix
from conntrim.core.model.errors import InputError
from conntrim.core.model.fields import FIELDS, VARYING, TcpFlag, full
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import NUMBERS, WITH_PORTS, Protocol
from conntrim.core.netfilter.icmp import ICMP
from conntrim.core.netfilter.kernel import Kernel, Route
from conntrim.render.explain import explain_text
from conntrim.render.json import to_json

Command = Callable[..., Any]

PORT = click.IntRange(0, 65535)
CLIENT_PORT = 50_000
"""Of the range that IANA, and of the one that Linux leaves to clients (RFC 6335, `ip_local_port_range`)."""
ICMP_QUERY: dict[int, int] = {int(icmp.protocol): icmp.echo << 8 for icmp in ICMP.values()}
"""What `-p icmp` means without `--icmp`: an echo request."""


UNSAID = tuple(field for field in FIELDS if field in VARYING)
"""What a packet may leave unsaid: a rule that asks for it is then not decided."""


def _unsaid(command: Command) -> Command:
    """An option for each of them."""
    for field in reversed(UNSAID):
        most = full(field).ranges[-1][1]
        told = f"The packet's {FIELDS[field].phrase}, 0 to {most}; without it what asks is not decided."
        command = click.option(f"--{field}", type=click.IntRange(0, most), metavar="N", help=told)(command)
    return command


@dataclass(frozen=True, slots=True)
class Given:
    """The packet as it stands on the command line."""

    protocol: str
    src: str
    dst: str
    sport: int | None
    dport: int | None
    iif: str
    oif: str
    flags: str | None
    icmp: str | None
    mark: str
    fragment: bool
    bridge_in: str
    bridge_out: str
    unsaid: dict[str, int | None]


@click.command("explain")
@click.option("-p", "--protocol", required=True, metavar="PROTO", help="tcp, udp, icmp, icmpv6, ... or a number.")
@click.option("-s", "--source", "src", required=True, metavar="ADDR", help="The packet's source.")
@click.option("-d", "--destination", "dst", required=True, metavar="ADDR", help="The packet's destination.")
@click.option("--sport", type=PORT, help=f"Source port; {CLIENT_PORT}, as a program might get it, if nothing is said.")
@click.option("--dport", type=PORT, help="Destination port.")
@click.option("-i", "--in", "iif", default="", metavar="DEV", help="It comes in here; with -o as well: forwarded.")
@click.option("-o", "--out", "oif", default="", metavar="DEV", help="It leaves here; lo: to this host itself.")
@click.option("--physdev-in", "bridge_in", default="", metavar="PORT", help="The bridge's port that it comes in by.")
@click.option("--physdev-out", "bridge_out", default="", metavar="PORT", help="The bridge's port that it leaves by.")
@click.option("--flags", metavar="LIST", help="TCP flags, such as syn or syn,ack; syn if nothing is said.")
@click.option("--icmp", metavar="TYPE[/CODE]", help="ICMP type and code; an echo request if nothing is said.")
@click.option("--mark", default="0", metavar="N", help="The packet's mark.")
@click.option("--fragment", is_flag=True, help="A fragment other than the first.")
@_unsaid
@click.option("--connection", is_flag=True, help="The whole connection that this packet opens.")
@click.option("--ruleset", "files", multiple=True, metavar="FILE", help="Rules from this file; again for more.")
@click.option("--local", metavar="ADDR,...", help="The host's own addresses or prefixes.")
@click.option("--route", "ways", multiple=True, metavar="NET,DEV", help="NET is reached by DEV; again for more.")
@click.option("--table-full", "full", is_flag=True, help="The conntrack table is full.")
@click.option("--tcp-loose", type=click.IntRange(0, 1), help="nf_conntrack_tcp_loose; the kernel's, or 1.")
@options.netns
@options.as_json
def command(
    *, files: tuple[str, ...], local: str | None, ways: tuple[str, ...], full: bool, tcp_loose: int | None,
    netns: str | None, connection: bool, as_json: bool, **packet: Any,
) -> None:  # fmt: skip
    """Tell what a rule set does with one packet, or with a connection, and why.

    The rules are the kernel's, or those of the files given, from iptables-save, iptables -S, nft (JSON or text), ipset.
    Exit code 0: accepted; 1: dropped, rejected or not decided; 2: bad input.
    """
    if files and netns is not None:
        raise InputError("--netns", "files have no namespace", advice="leave out --netns or --ruleset")
    kernel = _kernel(netns, live=not files, local=local, full=full, loose=tcp_loose, way=packet["oif"])
    unsaid = {FIELDS[field].attribute: packet.pop(field.value) for field in UNSAID}
    asked = packet_of(Given(**packet, unsaid=unsaid))
    kernel = replace(kernel, routes=_routes(ways) or (() if files else _reached(netns, asked.src)))
    told = explain(wiring.rulesets(files, netns), asked, kernel, connection=connection)
    if asked.sport is not None and packet["sport"] is None:
        told = replace(told, remarks=(*told.remarks, NO_SPORT))
    say(to_json("explanation", told) if as_json else explain_text(told))
    click.get_current_context().exit(0 if told.verdict == "accept" else 1)


NO_SPORT = f"no --sport: asked as from port {CLIENT_PORT}, one of those that programs get by chance"


def _kernel(netns: str | None, *, live: bool, local: str | None, full: bool, loose: int | None, way: str) -> Kernel:
    """`way`: the interface that was given with -o, which a translated packet takes as well."""
    given = _ranges(local)
    found = wiring.kernel(netns) if live else Kernel()
    way = "" if way == "lo" else way
    ours = given or found.local
    tcp_loose = found.tcp_loose if loose is None else bool(loose)
    return Kernel(ours, tcp_loose, full, way=way, may_be_ours=not ours)


def _reached(netns: str | None, source: int) -> tuple[Route, ...]:
    """By which interface this host reaches the packet's source, as its kernel says."""
    found = wiring.interfaces(netns)((format_address(source),))
    return tuple(Route((source, source), device) for device in found.values())


def _routes(ways: tuple[str, ...]) -> tuple[Route, ...]:
    """`192.0.2.0/24,eth0`, the longest prefix first."""
    found: list[Route] = []
    for text in ways:
        net, comma, device = text.partition(",")
        try:
            found.append(Route(parse_prefix(net.strip()), device.strip()))
        except ValueError as error:
            raise InputError("--route", str(error)) from error
        if not comma or not device.strip():
            raise InputError("--route", f"{text} names no interface", advice="192.0.2.0/24,eth0, say")
    return tuple(sorted(found, key=lambda route: route.to[1] - route.to[0]))


def _ranges(local: str | None) -> Intervals:
    parts = [part.strip() for part in (local or "").split(",") if part.strip()]
    try:
        return Intervals.union_of(parse_prefix(part) for part in parts)
    except ValueError as error:
        raise InputError("--local", str(error)) from error


def packet_of(given: Given) -> Packet:
    """The packet that the options name; InputError with the option where one is wrong."""
    src, dst = _address("-s", given.src), _address("-d", given.dst)
    if family_of(src) is not family_of(dst):
        raise InputError("-d", "source and destination are of different families")
    protocol = _protocol(given.protocol)
    if not given.iif and not given.oif:
        raise InputError("-i", "nothing says where the packet comes from", advice="-i eth0, -o eth0 or -o lo")
    ported = protocol in WITH_PORTS
    if ported and given.dport is None:
        raise InputError("--dport", "this protocol has ports", advice="--dport 22, say")
    sport = CLIENT_PORT if given.sport is None else given.sport
    unsaid: dict[str, Any] = dict(given.unsaid)
    return Packet(
        family_of(src), protocol, src, dst, sport if ported else None, given.dport if ported else None,
        _flags(given.flags) if protocol == Protocol.TCP else None, _icmp(given.icmp, protocol),
        iif=given.iif, oif=given.oif, mark=_mark(given.mark), fragment=given.fragment,
        bridge_in=given.bridge_in, bridge_out=given.bridge_out, **unsaid,
    )  # fmt: skip


def _address(option: str, text: str) -> int:
    try:
        return parse_address(text)
    except ValueError as error:
        raise InputError(option, f"{text} is no address") from error


def _protocol(text: str) -> int:
    name = text.lower()
    if name not in NUMBERS and not (name.isdecimal() and int(name) < 256):
        raise InputError("-p", f"no protocol {text}", advice="tcp, udp, icmp, icmpv6, ... or a number below 256")
    return NUMBERS[name] if name in NUMBERS else int(name)


def _flags(text: str | None) -> int:
    names = [name for name in (text or "syn").upper().split(",") if name not in ("", "NONE")]
    if unknown := [name for name in names if name not in TcpFlag.__members__]:
        raise InputError("--flags", f"no TCP flag {unknown[0].lower()}", advice="syn, ack, fin, rst, psh, urg, none")
    return sum({int(TcpFlag[name]) for name in names})


def _icmp(text: str | None, protocol: int) -> int | None:
    if protocol not in ICMP_QUERY:
        return None
    if text is None:
        return ICMP_QUERY[protocol]
    kind, _, code = text.partition("/")
    if not (kind.isdecimal() and (code or "0").isdecimal() and int(kind) < 256 and int(code or 0) < 256):
        raise InputError("--icmp", f"{text} is no type and code", advice="as in 3/4")
    return int(kind) << 8 | int(code or 0)


def _mark(text: str) -> int:
    try:
        mark = int(text, 0)
    except ValueError as error:
        raise InputError("--mark", f"{text} is no number") from error
    if not 0 <= mark < 1 << 32:
        raise InputError("--mark", f"{text} is no 32-bit number")
    return mark
