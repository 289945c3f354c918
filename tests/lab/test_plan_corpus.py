"""Others' hosts made again in the lab: their rules loaded, the plan made from the kernel's listing, and checked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conntrim import wiring
from conntrim.app.plan import Inputs, make_plan
from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.core.plan.obligations.registry import NAMES, UNTRACKING
from conntrim.core.plan.own import fingerprint
from conntrim.lab.netns import LabHost
from tests.golden.plans import HOSTS, Host, dialect_of

EVERY = 1 if os.environ.get("CONNTRIM_HOSTS") else 4
"""Without CONNTRIM_HOSTS=all every fourth proved row is loaded."""
PROVED = [host for host in HOSTS if not host.refused]
pytestmark = pytest.mark.corpus


def load(lab: LabHost, corpus: Path, host: Host) -> None:
    """Its rules into the kernel; skips where this kernel has no words for one of them."""
    try:
        if dialect_of(host.file) == "nft":
            lab.run("nft", "-f", str(corpus / "nft" / host.file.replace(".json", ".nft")))
        else:
            program = "ip6tables" if host.file.startswith("ip6__") else "iptables"
            lab.run(f"{program}-nft-restore", text=(corpus / "iptables" / host.file).read_text(encoding="utf-8"))
    except HostError as error:
        pytest.skip(f"the kernel refuses the rules themselves: {error}")


def planned(lab: LabHost, host: Host) -> Plan:
    """The plan for the host as its kernel lists its rules now."""
    ruleset = wiring.listing().read(lab.name).ruleset
    check = wiring.batch_check(lab.name)
    return make_plan(Inputs(ruleset, fingerprint(ruleset), host.facts(), policy=host.policy, check=check)).plan


@pytest.mark.parametrize("stranger", PROVED[::EVERY], ids=lambda host: host.name)
def test_all_obligations_are_proved(host: LabHost, corpus: Path, stranger: Host) -> None:
    """On the host as the kernel has it every obligation is proved, `loads` by the kernel's own check."""
    load(host, corpus, stranger)
    made = planned(host, stranger)
    assert {} == {o.name: o.why for o in made.obligations if o.standing is not ObligationStatus.PROVED}
    assert [name for name in NAMES if name in UNTRACKING] == [o.name for o in made.obligations]
