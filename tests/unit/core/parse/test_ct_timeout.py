"""Lines about time-out policies are read as they are written, and nothing else is."""

import pytest

from conntrim.core.model.address import Family
from conntrim.core.model.ct_timeout import TimeoutPolicy
from conntrim.core.model.errors import HostError
from conntrim.core.parse.ct_timeout import policies_of

MADE = TimeoutPolicy("c601", Family.IPV6, 17, (("replied", 30), ("unreplied", 15)))


def test_what_is_written_is_read() -> None:
    """A policy, and what deletes one."""
    gone = TimeoutPolicy("c401")
    assert policies_of(f"{MADE}\n{gone}\n") == (MADE, gone)


@pytest.mark.parametrize("line", [
    "nfct add timeout c401 inet tcp", "nfct add timeout c401 inet7 tcp close 5", "nfct flush timeout", "rm -rf /",
    "nfct add timeout c401 inet tcp close x", "nfct add timeout c401 inet tcp close",
])  # fmt: skip
def test_nothing_else_is(line: str) -> None:
    """As of a journal that somebody has edited."""
    with pytest.raises(HostError, match="no line about a time-out policy"):
        policies_of(f"{MADE}\n{line}\n")
