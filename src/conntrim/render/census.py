"""A census as text and as JSON fields; plain lines and not a table library, to start fast on a loaded machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from enum import StrEnum

from conntrim.core.census.estimate import estimated
from conntrim.core.census.shares import apportioned, shares
from conntrim.core.model.address import format_range
from conntrim.core.model.census import IDLE_STEPS, Breakdown, Census, ServiceCount
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import protocol_name
from conntrim.render.page import WIDTH, page, wrapped

NONE = Intervals()


class By(StrEnum):
    """What a census can be broken down by."""

    SERVICE = "service"
    STATE = "state"
    PEER = "peer"
    ZONE = "zone"
    CLIENT = "client"
    SERVER = "server"
    PAIR = "pair"
    PORT = "port"


def census_text(census: Census, by: By) -> str:
    """The answer on the first line, then one breakdown, then the doubts."""
    census = estimated(census)
    lines = [_answer(census), *_seen_from(census), ""]
    lines += _service_lines(census) if by is By.SERVICE else _breakdown_lines(_chosen(census, by), by, census.total)
    lines += [""] * bool(_notes(census))
    for note in _notes(census):
        lines += wrapped(f"note: {note}", rest="      ", long=False)
    return page(lines)


def _chosen(census: Census, by: By) -> Breakdown:
    tables = {
        By.STATE: census.states, By.PEER: census.peers, By.ZONE: census.zones, By.CLIENT: census.clients,
        By.SERVER: census.servers, By.PAIR: census.pairs, By.PORT: census.ports,
    }  # fmt: skip
    return tables[by]


def _answer(census: Census) -> str:
    """How many, and who holds most."""
    if not census.services:
        return "no entries"
    first, total = census.services[0], census.total
    share = f"{100 * first.entries / total:.1f} %"
    how_many = f"{total:,} {'entry' if total == 1 else 'entries'}{' (incomplete)' * census.incomplete}"
    if census.sample is not None:
        how_many, share = f"{how_many} (sampled)", f"{share} (+- {census.sample.bound:.1f})"
    line = f"{how_many}; {share} are {first.service}"
    # The servers' addresses are in the table below.
    return line if len(line) <= WIDTH else _shortened(f"{how_many}; {share} are {replace(first.service, servers=NONE)}")


def _seen_from(census: Census) -> Iterator[str]:
    local = ", ".join(census.local) or "no address of its own"
    guessed = " (inferred; name them with --local)" if census.local_inferred else ""
    yield _shortened(f"{census.source}, seen from {local}{guessed}" if len(census.local) < 5 else census.source)
    if census.local_evidence:
        rest = len(census.local_evidence) - 1
        more = f", and {rest} more" if rest else ""
        yield _shortened(f"inferred: {census.local_evidence[0]}{more}")
    if census.local_doubt:
        yield from wrapped(f"or else: {census.local_doubt}; say which with --local", rest="         ")
    if census.sample is not None:
        sample = census.sample
        yield f"{sample.rows:,} of them read, as good as at random: shares are within {sample.bound:.2f} points (95 %)"


def _service_lines(census: Census) -> Iterator[str]:
    """The services with their states."""
    percent = shares([row.entries for row in census.services] + [census.other_entries])
    yield f"{'entries':>12} {'share':>7} {'peers':>9}  service"
    for row, share in zip(census.services, percent, strict=False):
        told = f"{row.entries:>12,} {share:>6.1f}% {_peers(row, census):>9}  {row.service}"
        yield from wrapped(told, rest=" " * 34)
        yield from wrapped(_states(row), " " * 34, " " * 34)
    if census.other_services:
        yield f"{census.other_entries:>12,} {percent[-1]:>6.1f}% {'':>9}  {census.other_services:,} other services"
    yield f"{census.total:>12,} {100 if census.total else 0:>6.1f}% {'':>9}  total"


def _peers(row: ServiceCount, census: Census) -> str:
    """The number of far ends; of a sample only how many were seen is known."""
    return f"{row.peers:,}" if census.sample is None else f">={row.peers:,}"


def _states(row: ServiceCount) -> str:
    """`time_wait 98 %, established 2 %; 3 unreplied`."""
    prefix = f"{protocol_name(row.service.protocol)} "
    percent = shares([state.entries for state in row.states])
    parts = [f"{s.state.removeprefix(prefix)} {p:.1f}%" for s, p in zip(row.states, percent, strict=True)]
    told = [(row.unreplied, "unreplied"), (row.picked_up, "picked up mid-stream"), (row.translated, "with NAT")]
    return "; ".join([", ".join(parts), *(f"{count:,} {what}" for count, what in told if count)])


def _breakdown_lines(table: Breakdown, by: By, total: int) -> Iterator[str]:
    percent = shares([row.entries for row in table.rows] + [table.other_entries])
    yield f"{'entries':>12} {'share':>7} {'unreplied':>11}  {by}"
    if table.low_by:
        yield f"{'':>33}(each may have up to {table.low_by:,} entries more)"
    for row, share in zip(table.rows, percent, strict=False):
        yield f"{row.entries:>12,} {share:>6.1f}% {row.unreplied:>11,}  {row.key}"
    if table.other_rows > 0:
        yield f"{table.other_entries:>12,} {percent[-1]:>6.1f}% {'':>11}  {table.other_rows:,} others"
    yield f"{total:>12,} {100 if total else 0:>6.1f}% {'':>11}  total"


def _notes(census: Census) -> Sequence[str]:
    bad = f"{census.bad_lines:,} bad {'line' if census.bad_lines == 1 else 'lines'} left out"
    return [bad] * bool(census.bad_lines) + list(census.remarks)


def _shortened(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def census_fields(census: Census) -> dict[str, object]:
    """The census as JSON fields: addresses spelt out, shares from 0 to 1 that add up to 1."""
    census = estimated(census)
    fields = asdict(census)
    parts = apportioned([row.entries for row in census.services] + [census.other_entries], 1_000)
    rows = zip(census.services, parts, strict=False)
    fields["services"] = [_service_fields(row, part / 1_000) for row, part in rows]
    fields["other_share"] = parts[-1] / 1_000
    if census.sample is not None:
        fields["sample"] = asdict(replace(census.sample, bound=round(census.sample.bound / 100, 6)))
    fields["idle_steps"] = IDLE_STEPS
    return fields


def _service_fields(row: ServiceCount, share: float) -> dict[str, object]:
    service = row.service
    return {
        "service": str(service),
        "direction": service.direction,
        "protocol": protocol_name(service.protocol),
        "port": service.port,
        "servers": [format_range(*r) for r in service.servers.ranges],
        "share": share,
    } | {name: value for name, value in asdict(row).items() if name not in UNTOLD}


UNTOLD = ("service", "servers")
"""Of a service's fields: those that are told otherwise."""
