"""Which rules are written where, and which are left to the operator's hands."""

from __future__ import annotations

from dataclasses import replace

from conntrim.app.persist import lasting
from conntrim.core.model.plan import Batch
from conntrim.core.rollout.claim import Claim
from conntrim.core.rollout.stores import Kind, Store
from tests.fakes.plans import fake_plan
from tests.fakes.rollout import FakePersistence

LIVE = """\
*filter
:FORWARD DROP [0:0]
:CONNTRIM-LIMIT-FORWARD - [0:0]
-A FORWARD -j CONNTRIM-LIMIT-FORWARD
COMMIT
"""


def test_limits_do_not_go_where_ufw_fills_the_table() -> None:
    """A unit of ours would declare FORWARD with a policy of its own: the rules are left to the operator's hands."""
    store = Store(Kind("ufw", "ip", "/etc/ufw/before.rules", whole=False), "*filter\nCOMMIT\n")
    plan = replace(fake_plan(), confirm=(Batch("fake", LIVE),))
    made = lasting(FakePersistence(found=(store,), live=LIVE), plan, "/", Claim())
    assert ([], []) == (made.files, made.loads)
    assert "ufw fills the filter table, where limits have chains of their own" in made.by_hand[0]
