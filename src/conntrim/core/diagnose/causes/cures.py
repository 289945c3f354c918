"""Remedies of a cause, as whole commands: how many entries each leaves, how long it takes, what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conntrim.core.capacity.service_timeouts import all_seconds, host_seconds, least_seconds
from conntrim.core.capacity.timeouts import DEFAULTS, SHORTER, sysctl_key
from conntrim.core.capacity.untrack import largest, obstacle
from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.view import View
from conntrim.core.model.address import Family, family_of
from conntrim.core.model.census import IDLE_STEPS
from conntrim.core.model.finding import Remedy, RemedyKind
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import TIMED, ServiceTimeout, format_ports
from conntrim.core.model.protocol import protocol_name
from conntrim.core.model.service import Direction

WORTH_IT = 0.05
"""A remedy matters when it takes away every twentieth entry."""

MOST_OPEN = 200
"""Connections that one client may hold: a browser opens some dozens, a busy one a hundred."""


MOST_NEW = 20
"""Flows that one client may begin in a second, where it is not open connections that fill the table."""


class Cures:
    """Makes remedies against the entries of one claim."""

    def __init__(self, case: Case, view: View, mask: Mask) -> None:
        self._case, self._view, self._mask = case, view, mask
        self._left = max(0, case.total - view.entries(mask))

    def _remedy(
        self, kind: RemedyKind, title: str, how: tuple[str, ...], works_in: str, costs: str, *, now: bool = False,
        after: int | None = None,
    ) -> Remedy:  # fmt: skip
        left = self._left if after is None else after
        gone = (self._case.total - left) / max(self._case.total, 1)
        return Remedy(kind, title, left, gone, how, gone >= WORTH_IT, now, works_in, costs)

    def delete(self, what: str, *arguments: str) -> Remedy:
        """Delete the entries: room at once, for as long as nobody makes them anew."""
        how = f"conntrack -D {' '.join(arguments)}"
        costs = "cuts translated connections; others are tracked again"
        return self._remedy(RemedyKind.DELETE, f"delete the entries of {what}", (how,), "at once", costs, now=True)

    def block(self, client: int, *more: str) -> Remedy:
        """Refuse a client before it gets entries; those it has go with their time-outs."""
        name, program = self._view.name(client), _iptables(self._view.address(client))
        how = " ".join((f"{program} -t raw -I PREROUTING -s {name}", *more, "-j DROP"))
        return self._remedy(RemedyKind.BLOCK, f"refuse {name}", (how,), "at once for new entries", f"{name} is cut off",
                            now=True)  # fmt: skip

    def limit(self, client: int, *, tcp: bool) -> tuple[Remedy, Remedy]:
        """Bound what one client may open: now by one rule, for good by a policy that plan proves."""
        name, program = self._view.name(client), _iptables(self._view.address(client))
        comes_in = self._view.share(self._view.inbound, self._mask) > 0.5
        chain, direction = ("INPUT", "inbound") if comes_in else ("FORWARD", "forwarded")
        if tcp:
            rule = f"-p tcp --syn -m connlimit --connlimit-above {MOST_OPEN} -j REJECT --reject-with tcp-reset"
            title, bound = f"at most {MOST_OPEN} open connections of {name}", f"connections = {MOST_OPEN}"
        else:
            rule = (
                f"-m conntrack --ctstate NEW -m hashlimit --hashlimit-above {MOST_NEW}/s --hashlimit-mode srcip"
                " --hashlimit-name conntrim -j DROP"
            )
            title, bound = f"at most {MOST_NEW} new flows a second of {name}", f"per_second = {MOST_NEW}"
        how = f"{program} -I {chain} -s {name} {rule}"
        lines = "[[limit]]", f'direction = "{direction}"', 'per = "client"', f'from = ["{name}"]', bound
        planned = _policy(lines)
        takes = "at once for new entries, old ones time out", f"{name} alone notices"
        return (
            self._remedy(RemedyKind.LIMIT, title, (how,), *takes, now=True),
            self._remedy(RemedyKind.LIMIT, f"{title}, for good", planned, "when applied, old ones time out", takes[1]),
        )

    def timeout(self, key: str, seconds: int | None = None) -> Remedy:
        """A shorter time-out for all of the host."""
        wanted = SHORTER.get(key, 30) if seconds is None else seconds
        present = self._case.facts.timeouts.get(key, DEFAULTS[key])
        short = key.removeprefix("nf_conntrack_")
        how = (f"sysctl -w {sysctl_key(key, self._case.facts.era)}={wanted}",)
        gone = self._view.entries(self._mask & self._view.idle_for(_edge(wanted)))
        return self._remedy(
            RemedyKind.TIMEOUT, f"{short} {present:,} -> {wanted:,} s", how, *touched(present),
            after=self._case.total - gone,
        )  # fmt: skip

    def service_timeout(self, protocol: int, port: int, seconds: int, state: str = "") -> Remedy:
        """A time-out for one service, which NAT does not forbid; over TCP for one state. It is a policy that plan
        takes; nft's own commands where a policy could not name the packets.
        """
        view, host = self._view, self._case.facts.timeouts
        theirs = self._mask & (view.protocol == protocol) & (view.port == port)
        wanted = dict.fromkeys((state,) if state else TIMED[protocol], seconds)
        gone = view.entries(self._mask & view.idle_for(_edge(seconds)))
        cures = [ServiceTimeout(d, protocol, Intervals.of(port), wanted) for d in self._directions(theirs)]
        name, of = f"{protocol_name(protocol)}/{port}", f"{state} {seconds} s" if state else f"{seconds} s"
        least = {s: min(least_seconds(protocol, port, s), host_seconds(TIMED[protocol][s], host)) for s in wanted}
        below = any(seconds < floor for floor in least.values())
        return self._remedy(
            RemedyKind.SERVICE_TIMEOUT, f"{of} for {name} alone",
            _planned(cures, below) if cures else _by_hand(protocol, port, all_seconds(protocol, wanted, host)),
            "for new entries, old ones keep theirs",
            "longer silence may be cut"
            + ", less than NAT should leave (RFC 5382, RFC 4787)" * (below and bool(view.translated.any())),
            after=self._case.total - gone,
        )  # fmt: skip

    def _directions(self, mask: Mask) -> tuple[Direction, ...]:
        """Of entries as a policy has them. None where it is not known who the host is, nor where destinations are
        translated: a policy names the port that a packet leaves with, the entries are counted by that which was asked.
        """
        view, census = self._view, self._case.census
        if census is None or census.local_doubt or (mask & view.dnat).any():
            return ()
        paths = (
            (Direction.INBOUND, view.inbound),
            (Direction.OUTBOUND, view.outbound),
            (Direction.FORWARDED, view.forwarded),
        )
        return tuple(direction for direction, at in paths if (mask & at).any())

    def untrack(self) -> tuple[Remedy, ...]:
        """The claimed services that `plan` would take; none where it is not known who the host is."""
        case, census = self._case, self._case.census
        if census is None or census.local_doubt:
            return ()
        found = []
        for count in largest(census):
            service, entries = count.service, case.scale(count.entries)
            theirs = self._mask & self._view.is_service(service)
            if obstacle(count) or self._view.share(theirs & ~self._view.unicast, theirs):
                continue
            held = self._view.entries(theirs)
            if held * 2 > entries:
                after = case.total - entries
                found.append(self._remedy(
                    RemedyKind.UNTRACK, f"untrack {service}", ("conntrim plan",), *UNTRACKED, after=after,
                ))  # fmt: skip
        return tuple(found)

    def keep_alive(self) -> Remedy:
        """Connections that are kept and used again, in the program."""
        return self._remedy(
            RemedyKind.KEEP_ALIVE, "keep connections open (keep-alive, a pool)", ("in the program",), *KEPT
        )

    def repair(
        self, title: str, *how: str, works_in: str = "when it is done", costs: str = "work outside of conntrack"
    ) -> Remedy:
        """Something outside of conntrack, where the reason lies."""
        return self._remedy(RemedyKind.REPAIR, title, how, works_in, costs)


UNTRACKED = "when applied, old entries are deleted too", "rules no longer see its state"
KEPT = "when the program starts anew", "connections that wait at the server"
"""What untracking and keep-alive take: how long, and in exchange."""


def touched(present: int) -> tuple[str, str]:
    """The same of a shorter time-out of the host: it holds for entries touched from then on (K31)."""
    return f"within {present:,} s, as entries are touched", "longer silence may be cut"


def _policy(lines: Iterable[str]) -> tuple[str, str]:
    """The commands that write a policy and compile it."""
    write = " ".join((r"printf '%s\n'", *(f"'{line}'" for line in lines), "> policy.toml"))
    return write, "conntrim plan --policy policy.toml -o cure"


def _planned(cures: Iterable[ServiceTimeout], below: bool) -> tuple[str, str]:
    """A policy of time-outs; `below`: less than NAT should leave, which it has to say (K93). Rules may translate what
    no entry of the table shows.
    """
    lines: list[str] = []
    for cure in cures:
        seconds = ", ".join(f"{state} = {each}" for state, each in cure.seconds.items())
        lines += ["[[timeout]]", f'direction = "{cure.direction}"', f'protocol = "{protocol_name(cure.protocol)}"']
        lines += [f"ports = [{format_ports(cure.ports)}]", f"seconds = {{ {seconds} }}"]
        lines += ["accept_below_rfc = true"] * below
    return _policy(lines)


def _by_hand(protocol: int, port: int, seconds: Mapping[str, int]) -> tuple[str, ...]:
    """The same before translation, with all time-outs: an object of nft's would have nft's defaults else (K167)."""
    name, policy = protocol_name(protocol), ", ".join(f"{state} : {each}" for state, each in seconds.items())
    return (
        "nft add table inet conntrim_time",
        f"nft add ct timeout inet conntrim_time short '{{ protocol {name}; policy = {{ {policy} }}; }}'",
        "nft add chain inet conntrim_time pre '{ type filter hook prerouting priority -199; }'",
        "nft add chain inet conntrim_time out '{ type filter hook output priority -199; }'",
        f"nft add rule inet conntrim_time pre {name} dport {port} ct timeout set short",
        f"nft add rule inet conntrim_time out {name} dport {port} ct timeout set short",
    )


def _iptables(address: int) -> str:
    return "iptables" if family_of(address) is Family.IPV4 else "ip6tables"


def _edge(seconds: int) -> int:
    """The next class edge that is not below."""
    return next((edge for edge in IDLE_STEPS if edge >= seconds), IDLE_STEPS[-1])
