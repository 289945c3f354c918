"""A checked: the kernel and the evaluator are asked about the same rules and packets, and must say the same."""

from __future__ import annotations

from textwrap import dedent

from conntrim.core.model.address import parse_address
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Batch
from conntrim.core.model.ruleset import Ruleset, TableFamily
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.dialogue import run
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.outcome import Outcome, StepKind
from conntrim.core.parse.ipset import with_ipsets
from conntrim.core.parse.ruleset import read
from conntrim.lab.dialogue import parse_packets, shots
from conntrim.lab.oracle import Oracle, story

ADDRESSES = ("192.0.2.1", "198.51.100.1", "2001:db8::1", "2001:db8:1::1")
LOCAL = Intervals.of(*(parse_address(a) for a in ADDRESSES))
FAMILIES = {"iptables-restore": TableFamily.IP, "ip6tables-restore": TableFamily.IP6}


class KernelCheck:
    """One oracle's namespace, and the model of what was loaded there. The oracle's observer uses conntrack (K5)."""

    def __init__(self, oracle: Oracle, kernel: Kernel = Kernel(LOCAL, active=True)) -> None:  # noqa: B008 - frozen
        self.oracle, self.kernel, self.ruleset = oracle, kernel, Ruleset()

    def load(self, text: str, program: str = "iptables-restore", model: Ruleset | None = None) -> None:
        """Load a rule text; `model` is what it means, where no parser is asked."""
        text = dedent(text)
        self.oracle.load([Batch(program, text)])
        self.ruleset += read(text, program, FAMILIES[program]) if model is None else model

    def load_nft(self, text: str) -> None:
        """Load nft's own text; its meaning is read from the kernel's listing."""
        self.oracle.load([Batch("nft", dedent(text))])
        self.ruleset += read(self.oracle.listing(), "nft")

    def add_ipsets(self, ipsets: str) -> None:
        """Take in what the ipsets hold that the rules ask."""
        self.ruleset = with_ipsets(self.ruleset + read(ipsets, "ipset"))

    def flush(self) -> None:
        """Delete all rules."""
        self.oracle.unload()
        self.ruleset = Ruleset()

    def play(self, *lines: str) -> list[str]:
        """One dialogue from an empty table: where each packet was seen, and in which state. Both must agree."""
        self.oracle.forget()
        packets = parse_packets("\n".join(lines))
        measured = [story(trace) for trace in self.oracle.fire(shots([packets]))]
        thought = [seen(outcome) for outcome in run(self.ruleset, packets, kernel=self.kernel)]
        assert measured == thought, f"kernel {measured}\nmodel  {thought}"
        return measured


def seen(outcome: Outcome) -> str:
    """What the oracle's observer would see of a packet: its state right behind conntrack, and where it leaves."""
    steps = outcome.path[:-1] if outcome.by and outcome.by.kind is StepKind.CONNTRACK else outcome.path
    tracked = {s.hook: s.state for s in steps if s.kind is StepKind.CONNTRACK}
    passed = [(hook, tracked.get(hook, state) if hook in ENTERED else state) for hook, state in outcome.passed]
    ended = [(hook, state) for hook, state in tracked.items() if hook not in dict(passed)]
    own = [_sighting(hook, state) for hook, state in passed + ended if hook in tracked or hook not in ENTERED]
    answer = [f"^{part}" for part in seen(outcome.answer).split(", ") if part] if outcome.answer else []
    return ", ".join(own + answer)


ENTERED = (Hook.PREROUTING, Hook.OUTPUT)
"""The hooks where conntrack looks a packet up, and the observer right behind it; at the others it stands at the end."""


def _sighting(hook: Hook, state: CtState | None) -> str:
    return f"{hook} {state.name.lower() if state is not None else '-'}"
