"""Made-up listings of hosts whose trouble is known, and the doctor's view of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from conntrim.app.census import take_table
from conntrim.app.diagnose import case_of
from conntrim.core.diagnose.case import Case, Rules, Thresholds
from conntrim.core.model.address import parse_address
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.facts import HostFacts
from conntrim.core.model.intervals import Intervals
from conntrim.core.parse.conntrack_text import TextTable
from tests.fakes.flows import FakeFlows
from tests.unit.core.diagnose.cases import host

NUMBERS = {"udp": 17, "tcp": 6}
OWN = "192.0.2.18"


def entry(
    proto: str, src: str, dst: str, sport: int, dport: int, *, left: int = 25, state: str = "", replied: bool = True,
    assured: bool | None = None, answerer: str = "", translated: str = "",
) -> str:  # fmt: skip
    """One line as `conntrack -L` prints it; `answerer`: where DNAT led to; `translated`: the source that SNAT gave."""
    assured = (state in ("ESTABLISHED", "TIME_WAIT", "CLOSE_WAIT")) if assured is None else assured
    return (
        f"{proto} {NUMBERS[proto]} {left} {state} src={src} dst={dst} sport={sport} dport={dport}"
        f"{'' if replied else ' [UNREPLIED]'} src={answerer or dst} dst={translated or src} sport={dport} dport={sport}"
        f"{' [ASSURED]' if assured and replied else ''} mark=0 use=1\n"
    )


def case(
    lines: Iterable[str], *, maximum: int | None = None, local: str = OWN, rules: Rules | None = None,
    facts: HostFacts | None = None,
) -> Case:  # fmt: skip
    """The listing put before the doctor; `maximum`: the table's size, that of its entries where none is given."""
    table = TextTable("listing").feed("".join(lines).encode(), last=True)
    viewpoint = Viewpoint(Intervals.of(parse_address(local)), saved=True) if local else None
    taken = take_table(FakeFlows([table]), viewpoint, 200)
    size = len(table) if maximum is None else maximum
    known = replace(facts or host(), count=None, max=size, buckets=max(size, 64), timeouts={}, local=Intervals())
    return replace(case_of(known, None, taken, Thresholds()), rules=rules)
