"""Rule sets, matches and packets in few words, for tests that do not parse any file."""

from __future__ import annotations

from conntrim.core.model.address import Family, family_of, parse_address, parse_prefix
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field, TcpFlag
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import NUMBERS
from conntrim.core.model.ruleset import (
    Base,
    Chain,
    Dialect,
    End,
    In,
    Match,
    Notrack,
    OpaqueStatement,
    Rule,
    Ruleset,
    Statement,
    Table,
    TableFamily,
    Verdict,
    XtConntrack,
)
from conntrim.core.model.service import Hook

ACCEPT, DROP, REJECT = (End(v) for v in (Verdict.ACCEPT, Verdict.DROP, Verdict.REJECT))
SYN, ACK, FIN, RST = (int(f) for f in (TcpFlag.SYN, TcpFlag.ACK, TcpFlag.FIN, TcpFlag.RST))

US, THEM = "192.0.2.1", "192.0.2.9"

PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0}


def proto(name: str) -> In:
    """`-p name`."""
    return In(Field.PROTOCOL, Intervals.of(NUMBERS[name]))


def sport(low: int, high: int | None = None) -> In:
    """`--sport low:high`."""
    return In(Field.SPORT, Intervals.of((low, high or low)))


def dport(low: int, high: int | None = None) -> In:
    """`--dport low:high`."""
    return In(Field.DPORT, Intervals.of((low, high or low)))


def source(prefix: str) -> In:
    """`-s prefix`."""
    return In(Field.SRC, Intervals.of(parse_prefix(prefix)))


def states(*names: CtState) -> XtConntrack:
    """`-m conntrack --ctstate names`."""
    return XtConntrack(Intervals.of(*names))


def rule(*parts: Match | Statement, text: str = "") -> Rule:
    """A rule; matches and statements in the order given."""
    statements = tuple(p for p in parts if isinstance(p, Statement) and not isinstance(p, Match))
    return Rule(tuple(p for p in parts if isinstance(p, Match)), statements, Place("rules", 1), text)


def target(kind: str, text: str) -> Rule:
    """A rule whose target the model does not know."""
    return Rule((), (OpaqueStatement(kind, text),), Place("rules", 1), "")


def chain(hook: Hook, table: str, *rules: Rule, policy: Verdict = Verdict.ACCEPT) -> Chain:
    """A built-in chain of iptables."""
    priority = 100 if table == "nat" and hook in (Hook.INPUT, Hook.POSTROUTING) else PRIORITIES[table]
    return Chain(hook.upper(), rules, Base("nat" if table == "nat" else "filter", hook, priority, policy))


def table(name: str, *chains: Chain, dialect: Dialect = Dialect.IPTABLES_NFT) -> Table:
    """A table of IPv4."""
    return Table(dialect, TableFamily.IP, name, chains)


def raw(prerouting: tuple[Rule, ...] = (), output: tuple[Rule, ...] = ()) -> Table:
    """iptables' raw table."""
    return table("raw", chain(Hook.PREROUTING, "raw", *prerouting), chain(Hook.OUTPUT, "raw", *output))


def filtering(*rules: Rule, output: tuple[Rule, ...] = ()) -> Table:
    """iptables' filter table; `rules` stand in INPUT."""
    return table("filter", chain(Hook.INPUT, "filter", *rules), chain(Hook.OUTPUT, "filter", *output))


def rules(*tables: Table) -> Ruleset:
    """A rule set."""
    return Ruleset(tables)


def notrack(*matches: Match) -> Rule:
    """`-p tcp MATCHES -j NOTRACK`."""
    return rule(proto("tcp"), *matches, Notrack())


def packet(
    name: str = "tcp",
    *,
    src: str = THEM,
    sport: int | None = None,
    dst: str = US,
    dport: int | None = None,
    flags: int | None = None,
    icmp: int | None = None,
    iif: str = "eth0",
    oif: str = "",
    inner: Packet | None = None,
) -> Packet:
    """A packet from THEM to US, coming in at eth0 if nothing else is said."""
    number = parse_address(src)
    return Packet(
        Family(family_of(number)),
        NUMBERS[name],
        number,
        parse_address(dst),
        sport,
        dport,
        flags,
        icmp,
        iif=iif,
        oif=oif,
        inner=inner,
    )


def web(flags: int = SYN) -> Packet:
    """A packet of a client of our web server."""
    return packet(sport=40000, dport=80, flags=flags)


def to_cache(flags: int = SYN) -> Packet:
    """A packet that we send to a memcached."""
    return packet(src=US, sport=50000, dst=THEM, dport=11211, flags=flags, iif="", oif="eth0")
