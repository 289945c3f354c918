"""Plans made by hand in the shape of the planner's, one a dialect: tcp/80 and udp/53 of this host untracked."""

from __future__ import annotations

from collections.abc import Callable

from conntrim.core.model.facts import Era
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Batch, FileChange, Plan
from conntrim.core.model.policy import Policy, Untrack
from conntrim.core.model.ruleset import Dialect
from conntrim.core.model.service import Direction
from conntrim.lab.netns import LabHost

WEB = Untrack(Direction.INBOUND, 6, Intervals.of(80))
DIALECTS = ("iptables-nft", "iptables-legacy", "nftables")

XT_FILTER = """\
*filter
:INPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m conntrack --ctstate NEW -j ACCEPT
-A INPUT -j DROP
COMMIT
"""
NFT_FILTER = """\
table inet filter {
  chain input {
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    ct state new accept
  }
}
"""
GUARD = "-m time --datestop @DEADLINE@"
UNTRACKED = "-m conntrack --ctstate UNTRACKED"


def load_before(host: LabHost, dialect: str) -> None:
    """The operator's own rules: what is tracked is accepted, the rest is not."""
    if dialect == "nftables":
        host.run("nft", "-f", "-", text=NFT_FILTER)
    else:
        host.run(f"{dialect}-restore", text=XT_FILTER)


def listing(host: LabHost, dialect: str) -> str:
    """The whole rule set of a dialect as its program prints it, without counters and dates."""
    if dialect == "nftables":
        return host.run("nft", "-s", "list", "ruleset")
    lines = host.run(f"{dialect}-save").splitlines()
    return "\n".join(line.split(" [")[0] for line in lines if not line.startswith("#"))


def _xt_comment(text: str) -> str:
    return f'-m comment --comment "conntrim:0a1b2c3d {text}"'


def _xt_accepts(guard: str, suffix: str) -> list[str]:
    return [
        f"INPUT -p tcp --{end} 80 {UNTRACKED} {_xt_comment(end + suffix)} {guard} -j ACCEPT"
        for end in ("dport", "sport")
    ]


def _xt_texts() -> tuple[tuple[str, str], ...]:
    trial, kept = _xt_accepts(GUARD, " (trial)"), _xt_accepts("", "")
    hooks = ("PREROUTING", "OUTPUT")
    jumps = [f"{hook} {_xt_comment('untrack (trial)')} {GUARD} -j CONNTRIM-{hook}" for hook in hooks]
    kept_jumps = [f"{hook} {_xt_comment('untrack')} -j CONNTRIM-{hook}" for hook in hooks]
    chains = [f":CONNTRIM-{hook} - [0:0]" for hook in hooks]
    chains += [f"-A CONNTRIM-{hook} -p tcp --{end} 80 -j CT --notrack" for hook in hooks for end in ("dport", "sport")]
    gone = [line for hook in hooks for line in (f"-F CONNTRIM-{hook}", f"-X CONNTRIM-{hook}")]
    return (
        ("\n".join(f"-I {r}" for r in trial), "\n".join([*chains, *(f"-I {r}" for r in jumps)])),
        (_swap(trial, kept), _swap(jumps, kept_jumps)),
        ("\n".join(f"-D {r}" for r in trial), "\n".join([*(f"-D {r}" for r in jumps), *gone])),
        ("\n".join(f"-D {r}" for r in kept), "\n".join([*(f"-D {r}" for r in kept_jumps), *gone])),
    )


def _swap(old: list[str], new: list[str]) -> str:
    return "\n".join([*(f"-D {rule}" for rule in old), *(f"-I {rule}" for rule in new)])


def _xt_batches(dialect: str) -> list[tuple[Batch, ...]]:
    return [
        tuple(
            Batch(f"{dialect}-restore", f"*{table}\n{text}\nCOMMIT\n")
            for table, text in zip(("filter", "raw"), texts, strict=True)
        )
        for texts in _xt_texts()
    ]


def _nft_armed(where: str) -> str:
    return (
        f"add set inet {where} conntrim_armed {{ type inet_proto; flags timeout; }}\n"
        f"add element inet {where} conntrim_armed {{ tcp timeout @SECONDS@s }}\n"
    )


def _nft_batches() -> list[tuple[Batch, ...]]:
    guard, ends = "meta l4proto @conntrim_armed", ("dport", "sport")
    accepts = {end: f'ct state untracked tcp {end} 80 accept comment "conntrim:0a1b2c3d {end}' for end in ends}
    trial_accepts = "".join(f'insert rule inet filter input {guard} {a} (trial)"\n' for a in accepts.values())
    handles = {end: f'@HANDLE inet filter input "conntrim:0a1b2c3d {end} (trial)"@' for end in ends}
    kept = {end: f'@HANDLE inet filter input "conntrim:0a1b2c3d {end}"@' for end in ends}
    gone = "delete set inet filter conntrim_armed\n"
    own, own_kept = "add table inet conntrim\n" + _nft_armed("conntrim"), ""
    for hook in ("prerouting", "output"):
        own += f"add chain inet conntrim untrack_{hook}\n"
        own += "".join(f"add rule inet conntrim untrack_{hook} tcp {end} 80 counter notrack\n" for end in ends)
        chain = f"inet conntrim {hook}"
        own += f"add chain {chain} {{ type filter hook {hook} priority raw; }}\n"
        own += f'add rule {chain} {guard} jump untrack_{hook} comment "conntrim:0a1b2c3d untrack (trial)"\n'
        own_kept += f'flush chain {chain}\nadd rule {chain} jump untrack_{hook} comment "conntrim:0a1b2c3d untrack"\n'
    swap = "".join(f'replace rule inet filter input handle {handles[e]} {accepts[e]}"\n' for e in ends)
    texts = (
        (_nft_armed("filter") + trial_accepts, own),
        (swap + gone, own_kept + "delete set inet conntrim conntrim_armed\n"),
        (
            "".join(f"delete rule inet filter input handle {h}\n" for h in handles.values()) + gone,
            "delete table inet conntrim\n",
        ),
        ("".join(f"delete rule inet filter input handle {h}\n" for h in kept.values()), "delete table inet conntrim\n"),
    )
    return [tuple(Batch("nft", text) for text in pair) for pair in texts]


BATCHES: dict[str, Callable[[], list[tuple[Batch, ...]]]] = {
    "iptables-nft": lambda: _xt_batches("iptables-nft"),
    "iptables-legacy": lambda: _xt_batches("iptables-legacy"),
    "nftables": _nft_batches,
}


def handmade(dialect: str, files: tuple[FileChange, ...] = (), settings: dict[str, int] | None = None) -> Plan:
    """The plan in one dialect; the accepts come in first and go out last."""
    trial, confirm, rollback_trial, rollback_confirmed = BATCHES[dialect]()
    return Plan(
        name="web",
        dialect=Dialect(dialect),
        era=Era.NF,
        policy=Policy((WEB,)),
        trial=trial,
        confirm=confirm,
        rollback_trial=tuple(reversed(rollback_trial)),
        rollback_confirmed=tuple(reversed(rollback_confirmed)),
        files=files,
        obligations=(),
        settings=settings or {},
    )
