"""A court: the kernel and the evaluator are asked about the same rules and packets, and must say the same."""

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
from conntrim.lab.judge import Judge, story

ADDRESSES = ("192.0.2.1", "198.51.100.1", "2001:db8::1", "2001:db8:1::1")
LOCAL = Intervals.of(*(parse_address(a) for a in ADDRESSES))
FAMILIES = {"iptables-restore": TableFamily.IP, "ip6tables-restore": TableFamily.IP6}


class Court:
    """One judge's namespace, and the model of what was loaded there. The judge's observer uses conntrack (K5)."""

    def __init__(self, judge: Judge, kernel: Kernel = Kernel(LOCAL, active=True)) -> None:  # noqa: B008 - frozen
        self.judge, self.kernel, self.ruleset = judge, kernel, Ruleset()

    def law(self, text: str, program: str = "iptables-restore", model: Ruleset | None = None) -> None:
        """Load a rule text; `model` is what it means, where no parser is asked."""
        text = dedent(text)
        self.judge.load([Batch(program, text)])
        self.ruleset += read(text, program, FAMILIES[program]) if model is None else model

    def law_nft(self, text: str) -> None:
        """Load nft's own text; its meaning is read from the kernel's listing."""
        self.judge.load([Batch("nft", dedent(text))])
        self.ruleset += read(self.judge.listing(), "nft")

    def know(self, ipsets: str) -> None:
        """Take in what the ipsets hold that the laws ask."""
        self.ruleset = with_ipsets(self.ruleset + read(ipsets, "ipset"))

    def repeal(self) -> None:
        """Delete all rules."""
        self.judge.unload()
        self.ruleset = Ruleset()

    def hear(self, *lines: str) -> list[str]:
        """One dialogue from an empty table: where each packet was seen, and in which state. Both must agree."""
        self.judge.forget()
        packets = parse_packets("\n".join(lines))
        measured = [story(trace) for trace in self.judge.fire(shots([packets]))]
        thought = [seen(outcome) for outcome in run(self.ruleset, packets, kernel=self.kernel)]
        assert measured == thought, f"kernel {measured}\nmodel  {thought}"
        return measured


def seen(outcome: Outcome) -> str:
    """What the judge's observer would see of a packet: its state right behind conntrack, and where it leaves."""
    steps = outcome.path[:-1] if outcome.by and outcome.by.kind is StepKind.CONNTRACK else outcome.path
    tracked = {s.hook: s.state for s in steps if s.kind is StepKind.CONNTRACK}
    left: dict[Hook, CtState | None] = {
        hook: state for hook, state in outcome.passed if hook not in (Hook.PREROUTING, Hook.OUTPUT)
    }
    own = [_sighting(h, s) for h, s in _in_order(outcome, tracked, left)]
    answer = [f"^{part}" for part in seen(outcome.answer).split(", ") if part] if outcome.answer else []
    return ", ".join(own + answer)


def _in_order(
    outcome: Outcome, tracked: dict[Hook, CtState | None], left: dict[Hook, CtState | None]
) -> list[tuple[Hook, CtState | None]]:
    hooks = dict.fromkeys([*(h for h, _ in outcome.passed), *tracked])
    return [(h, (tracked | left)[h]) for h in hooks if h in tracked or h in left]


def _sighting(hook: Hook, state: CtState | None) -> str:
    return f"{hook} {state.name.lower() if state is not None else '-'}"
