"""Small hosts and policies of the plan's unit tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.facts import Counters, Era, HostFacts
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Obligation, ObligationStatus, Plan
from conntrim.core.model.ruleset import Chain, In, Rule, Ruleset, TableFamily
from conntrim.core.parse.policy import parse_policy
from conntrim.core.parse.ruleset import read
from conntrim.core.plan.compile import Request, compile_plan
from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.obligations import exact_entries

INBOUND = '[[untrack]]\ndirection = "inbound"\nprotocol = "{}"\nports = [{}]\n'
OUTBOUND = '[[untrack]]\ndirection = "outbound"\nprotocol = "{}"\nports = [{}]\nto = ["{}"]\n'
WEB = INBOUND.format("tcp", 80)
CACHE = OUTBOUND.format("tcp", 11211, "192.168.0.17")


def facts(*addresses: str, era: Era = Era.NF, loose: bool = True, listening: tuple[int, ...] = (80, 8080)) -> HostFacts:
    """A host with these addresses, whose programs listen at these TCP ports."""
    local = Intervals.of(*(parse_address(a) for a in (*addresses, "127.0.0.1")))
    return HostFacts(
        "test", "6.1", era, 0.0, 0, 65536, 65536, True, Counters(), {}, loose, None, None, local, (32768, 60999), (),
        (), listening=dict.fromkeys(Family, Intervals.of(*listening)),
    )  # fmt: skip


def with_rules(ruleset: Ruleset, name: str, change: Callable[[Rule], Rule]) -> Ruleset:
    """A rule set with each rule of the chains of that name changed."""

    def chain(each: Chain) -> Chain:
        return replace(each, rules=tuple(map(change, each.rules))) if each.name == name else each

    return replace(ruleset, tables=tuple(replace(t, chains=tuple(map(chain, t.chains))) for t in ruleset.tables))


def wrong_entries(done: Compiled, name: str, old: In, new: In | None) -> tuple[set[ObligationStatus], list[str]]:
    """What exact-entries says of a plan whose rules in a chain ask another thing in the place of one, or nothing: the
    standings, and why.
    """

    def changed(rule: Rule) -> Rule:
        matches = [new if m == old else m for m in rule.matches]
        return replace(rule, matches=tuple(m for m in matches if m is not None))

    found = list(exact_entries.by_plan(replace(done, after=with_rules(done.after, name, changed))))
    return {status for status, *_ in found}, [why for _, why, _ in found]


def rules(text: str, family: TableFamily = TableFamily.IP) -> Ruleset:
    """iptables-save text as a rule set."""
    return read(text, "rules", family)


def filtered(*lines: str, policy: str = "DROP", output: tuple[str, ...] = (), other: str = "") -> str:
    """A filter table: rules of INPUT, and of further chains as whole lines."""
    chains = sorted({line.split()[1] for line in lines if line.startswith("-A ")})
    declared = "".join(f":{chain} - [0:0]\n" for chain in chains)
    body = "".join((line if line.startswith("-A ") else f"-A INPUT {line}") + "\n" for line in lines)
    out = "".join(f"-A OUTPUT {line}\n" for line in output)
    top = f"*filter\n:INPUT {policy} [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    return f"{top}{declared}{body}{out}COMMIT\n{other}"


def plan(policy: str, ruleset: str, host: HostFacts | None = None) -> Plan:
    """The plan for a host with that filter."""
    return compile_plan(Request(parse_policy(policy.encode(), "policy"), rules(ruleset), host or facts("192.168.0.18")))


def obligation(made: Plan, name: str) -> Obligation:
    """One of its obligations."""
    return next(o for o in made.obligations if o.name == name)


def accepts(made: Plan) -> list[tuple[str, str, str]]:
    """What it adds to chains that are not ours: chain, rule without the comment, the rule it stands before."""
    return [
        (c.chain.split()[2], " ".join(w for w in _words(c.rule)), c.before)
        for c in made.changes
        if "CONNTRIM" not in c.chain
    ]


def _words(rule: str) -> list[str]:
    before, _, rest = rule.partition('-m comment --comment "')
    return [*before.split(), *rest.partition('"')[2].split()]
