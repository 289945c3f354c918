"""A trial whose guard has expired: exactly the rules before it, or the packet for which it is not so."""

import pytest

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.ruleset import OpaqueMatch
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.expired import expired

GUARD = OpaqueMatch("time", "--datestop 2030-01-01T00:00:00")
TIME = "-m time --datestop 2030-01-01T00:00:00"
RAW = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:OURS - [0:0]\n{raw}{own}COMMIT\n"
OWN = "-A OURS -p tcp -m tcp --dport 80 -j CT --notrack\n"
FILTER = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
{accepts}-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""
JUMP, ACCEPT = f"-A PREROUTING {TIME} -j OURS\n", f"-A INPUT -p tcp -m tcp --dport 80 {TIME} -j ACCEPT\n"


def standing(raw: str, accepts: str) -> tuple[ObligationStatus, str]:
    """Of a trial of these rules."""
    before = read(FILTER.format(accepts=""), "before")
    found = expired(
        before, read(RAW.format(raw=raw, own=OWN) + FILTER.format(accepts=accepts), "trial"), (GUARD,), Intervals()
    )
    return found.standing, found.why


def test_guarded_rules_are_as_good_as_not_there() -> None:
    """A guarded jump to own rules and a guarded accept change no set once the guard is false."""
    assert ObligationStatus.PROVED is standing(JUMP, ACCEPT)[0]


@pytest.mark.parametrize(
    ("raw", "accepts", "why"),
    [
        (JUMP.replace(TIME + " ", ""), ACCEPT, "the trial leaves other packets untracked"),
        (JUMP, ACCEPT.replace(TIME + " ", ""), "the trial lets through packets that were refused"),
        (JUMP, ACCEPT.replace(TIME, "-m time --datestop 2040-01-01T00:00:00"), "lets through packets"),
        (JUMP, ACCEPT.replace(TIME, "! -s 192.0.2.0/24"), "destination port 80"),
    ],
    ids=["a bare jump", "a bare accept", "another guard", "an accept for many"],
)  # fmt: skip
def test_what_outlives_its_guard_is_told(raw: str, accepts: str, why: str) -> None:
    """Each rule without the guard is found, with what it still does; of an unknown match, where it matches."""
    found, told = standing(raw, accepts)
    assert (ObligationStatus.NOT_DECIDED if "2040" in accepts else ObligationStatus.BROKEN) is found
    assert why in told
